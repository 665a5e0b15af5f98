"""Check what all pages about albums share: accessible, readable at 320 px, in German, and nothing that is refused."""

from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests import pictures
from tests.console.albums import create_album, put_photos, register
from tests.console.conftest import PASSWORD, Console, Login

_FITS = "document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture
def party(console: Console) -> list[str]:
    """Paths of pages about an album with a known person, a face to review, unknown people and a failed photo."""
    api = console.login.api
    register(api, "ada", 1, "Ada Acker")
    create_album(api, people=["default"], keep="crops")
    put_photos(api, a=pictures.group(1, 1, 2), b=pictures.photo(2, take=1), cut=pictures.photo(1)[:3000])
    group = api.get("/albums/party/clusters").json()["items"][0]["cluster_id"]
    token = api.post("/albums/party/links", json={}).json()["token"]
    return [
        "/albums",
        "/albums/party",
        "/review",
        "/review?state=pending",
        "/unknown",
        f"/unknown/party/{group}",
        "/videos",
        f"/guest#{token}",
    ]


def test_pages_are_accessible_and_fit_small_screens(console: Console, party: list[str]) -> None:
    console.page.get_by_role("button", name="Deutsch").click()
    for width in (320, 1280):
        console.page.set_viewport_size({"width": width, "height": 800})
        for path in party:
            page = console.goto(path)
            page.get_by_role("heading", level=1).wait_for()
            page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
            violations = Axe().run(page).response["violations"]
            found = [one["id"] for one in violations if one["impact"] in ("serious", "critical")]
            assert found == [], (path, width)
            assert page.evaluate(_FITS), (path, width)
            assert page.locator("html").get_attribute("lang") == "de"


def test_a_viewer_sees_no_button_that_would_be_refused(console: Console, party: list[str], browser: Browser) -> None:
    email = f"{uuid4().hex}@example.com"
    user = {"email": email, "password": PASSWORD, "role": "viewer"}
    assert console.login.api.post("/users", json=user).status_code == 201
    context = browser.new_context(locale="en-US")
    page = Login(email, console.login.api, console.login.base).open(context)
    for path in [one for one in party if not one.startswith("/guest")]:
        page.goto(f"{console.login.base}/console{path}")
        page.get_by_role("heading", level=1).wait_for()
        expect(page.locator("form[data-api], upload-photos, send-video, form.name button:visible")).to_have_count(0)
        expect(page.locator("[data-verdict], [data-merge], [data-split], undo-decision, .chosen")).to_have_count(0)
    page.goto(f"{console.login.base}/console/albums/party")
    expect(page.locator("selfie-search")).to_be_visible()
    context.close()
