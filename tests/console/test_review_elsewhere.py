"""Review where no picture is kept: the face is shown from the tenant's own object store, or only its place."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests import pictures
from tests.console.albums import ALBUM, create_album, put_photos, register
from tests.console.conftest import Console, serving_console
from tests.seaweed import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SeaweedFS, serving_objects


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with serving_objects(tmp_path_factory.mktemp("store")) as server:
        with server.client() as client:
            client.create_bucket(Bucket="wedding")
            client.put_object(Bucket="wedding", Key="all.jpg", Body=pictures.group(1, 1, 1))
        yield server


@pytest.fixture(scope="module")
def console_base(data_dir: Path, service_url: str, synthetic_pack: Path, store: SeaweedFS) -> Iterator[str]:
    env = {"VULTUS_OBJECT_STORE_ENDPOINTS": store.endpoint}
    with serving_console(data_dir, service_url, synthetic_pack, **env) as base:
        yield base


def test_faces_of_the_tenants_store_are_fetched_for_the_page(console: Console, store: SeaweedFS) -> None:
    api = console.login.api
    keys = {"access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY}
    assert api.put("/object-store", json={"endpoint": store.endpoint, **keys}).is_success
    register(api, "ada", 1, "Ada Acker")
    create_album(api, people=["default"])
    sent = {"bucket": "wedding", "names": ["all.jpg"]}
    assert api.post(f"/albums/{ALBUM}/fetch", json=sent).is_success
    put_photos(api, here=pictures.group(1, 1, 1))
    page = console.goto("/review")
    cards = page.locator(".sighting")
    expect(cards).to_have_count(4)
    fetched = cards.filter(has_text="all.jpg")
    expect(fetched.first).to_contain_text("fetched from your object store")
    assert fetched.first.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 160
    kept_nowhere = cards.filter(has_text="here.jpg")
    expect(kept_nowhere.first).to_contain_text("No picture is kept")
    expect(kept_nowhere.first.locator("svg.place")).to_be_visible()
