"""Each page with content, from drawn faces; `make console-images` writes the pictures of the documents."""

import os
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests import pictures
from tests.console.conftest import Console, picture

PEOPLE = {1: "Ada Acker", 2: "Bob Brown", 3: "Eve Ekman", 5: "Ida Iversen"}
PAGES = {
    "overview": ("", "Overview"),
    "people": ("/people", "People"),
    "person": ("/people/default/ada", "Ada Acker"),
    "albums": ("/albums", "Albums"),
    "album": ("/albums/party", "Party"),
    "review": ("/review", "Review"),
    "unknown": ("/unknown?album=party", "Unknown people"),
    "settings": ("/settings/keys", "Keys"),
    "webhooks": ("/settings/webhooks", "Webhooks"),
}


@pytest.fixture
def album(console: Console) -> Console:
    """People, and an album with photos of them and of strangers."""
    api = console.login.api
    for seed, name in PEOPLE.items():
        files = {"images": ("a.jpg", pictures.photo(seed), "image/jpeg")}
        subject = name.split()[0].lower()
        assert api.post("/register", data={"subject": subject, "name": name}, files=files).is_success
    body = {"id": "party", "name": "Party", "keep": "crops", "people": {"collections": ["default"]}}
    assert api.post("/albums", json=body).status_code == 201
    for index, seeds in enumerate(((1, 2, 7), (3, 5), (7, 8), (1, 8))):
        files = {"image": ("a.jpg", pictures.group(*seeds), "image/jpeg")}
        assert api.put(f"/albums/party/photos/{index}.jpg", files=files).status_code == 202
    deadline = time.monotonic() + 60
    while api.get("/albums/party").json()["photos"]["done"] < 4:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return console


def test_every_page_has_a_picture(album: Console, tmp_path: Path) -> None:
    directory = Path(os.environ.get("CONSOLE_IMAGES", tmp_path))
    page = album.page
    page.set_viewport_size({"width": 1200, "height": 800})
    # An address that somebody may read in the documents.
    hide = "document.querySelectorAll('.who .hint').forEach(e => { e.textContent = 'ada@example.com' })"
    for name, (path, heading) in PAGES.items():
        album.goto(path)
        expect(page.get_by_role("heading", name=heading).first).to_be_visible()
        page.evaluate(hide)
        page.screenshot(path=directory / f"console-{name}.png")
    album.goto("/recognize")
    page.locator("input[type=file]").set_input_files([picture(pictures.group(1, 2, 7))])
    expect(page.locator(".face.match")).to_have_count(2)
    page.evaluate(hide)
    page.screenshot(path=directory / "console-recognize.png")
    for name in (*PAGES, "recognize"):
        assert (directory / f"console-{name}.png").stat().st_size > 10_000
