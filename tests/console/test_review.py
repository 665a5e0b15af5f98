"""Review and unknown people, in a real browser on real inference."""

import time

import pytest
from playwright.sync_api import expect

from tests import pictures
from tests.console.albums import create_album, put_photos, register, states
from tests.console.conftest import Console


@pytest.fixture
def party(console: Console) -> Console:
    """An album in which three faces resemble Ada without being hers for certain, and a photo that is hers."""
    register(console.login.api, "ada", 1, "Ada Acker")
    create_album(console.login.api, people=["default"], keep="crops")
    put_photos(console.login.api, all=pictures.group(1, 1, 1, 1))
    assert states(console.login.api) == ["matched", "review", "review", "review"]
    return console


def wait_for_states(console: Console, *expected: str) -> None:
    deadline = time.monotonic() + 30
    while states(console.login.api) != sorted(expected):
        assert time.monotonic() < deadline, states(console.login.api)
        time.sleep(0.1)


def test_one_key_decides_and_undoes(party: Console) -> None:
    page = party.goto("/review")
    cards = page.locator(".sighting")
    expect(cards).to_have_count(3)
    expect(cards.first).to_be_focused()
    expect(cards.first).to_contain_text("Picture of the face, which the album keeps.")
    assert cards.first.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 160
    page.keyboard.press("r")
    expect(page.locator(".said")).to_have_text("Rejected: 1")
    expect(cards).to_have_count(2)
    expect(cards.first).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("i")
    expect(page.locator(".said")).to_have_text("Ignored: 1")
    page.keyboard.press("u")
    expect(page.get_by_text("Undone.")).to_be_visible()
    expect(cards).to_have_count(2)
    with page.expect_response("**/undo"):  # at once, of a decision that has no answer yet
        page.keyboard.press("i")
        page.keyboard.press("u")
    expect(cards).to_have_count(2)
    page.keyboard.press("a")
    page.keyboard.press("c")
    expect(page.locator(".said")).to_have_text("Confirmed: 2")
    expect(page.get_by_role("heading", name="Nothing waits for a decision")).to_be_visible()
    assert states(party.login.api).count("matched") >= 3
    page.reload()
    expect(cards).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(cards.nth(1)).to_be_visible()  # and perhaps the rejected face, with another suggestion


def test_a_face_is_somebody_else(party: Console) -> None:
    page = party.goto("/review?album=party")
    expect(page.locator(".sighting").first).to_be_focused()
    page.keyboard.press("n")
    page.get_by_label("Id", exact=True).fill("twin")
    page.get_by_label("Name, if the person is new").fill("Ada's twin")
    page.get_by_role("button", name="Assign").click()
    expect(page.locator(".said")).to_have_text("Confirmed: 1")
    expect(page.locator("dialog")).to_be_hidden()
    seen = party.login.api.get("/collections/default/subjects/twin/sightings").json()["items"]
    assert [one["state"] for one in seen] == ["matched"]


def test_without_pictures_the_place_of_a_face_is_shown(console: Console) -> None:
    register(console.login.api, "ada", 1, "Ada Acker")
    create_album(console.login.api, people=["default"])
    put_photos(console.login.api, all=pictures.group(1, 1))
    page = console.goto("/review")
    expect(page.locator(".sighting").first).to_contain_text("No picture is kept")
    expect(page.get_by_role("img", name="Place of the face in the photo all.jpg")).to_be_visible()
    expect(page.locator("img.crop")).to_have_count(0)


def test_several_decisions_fit_one_key_press(party: Console) -> None:
    page = party.goto("/review")
    page.get_by_label("Select all").check()
    page.get_by_role("button", name="Ignore").click()
    expect(page.locator(".said")).to_have_text("Ignored: 3")
    wait_for_states(party, "matched", "ignored", "ignored", "ignored")


def test_faces_of_a_pool_are_reviewed_and_grouped(console: Console) -> None:
    api = console.login.api
    register(api, "ada", 1, "Ada Acker")
    assert api.post("/collections", json={"name": "visitors"}).is_success
    files = {"image": ("door.jpg", pictures.group(1, 1, 2), "image/jpeg")}
    assert api.post("/register/all", data={"collection": "visitors"}, files=files).is_success
    assert api.put("/collections/visitors/pool", json={"people": ["default"]}).is_success
    deadline = time.monotonic() + 30
    while [one["faces"] for one in api.get("/collections/visitors/clusters").json()["items"]] != [1, 1]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    page = console.goto("/unknown?album=visitors")
    expect(page.get_by_role("link", name="Group")).to_have_count(2)
    page.get_by_role("link", name="Group 1").click()
    expect(page.get_by_role("heading", name="Unknown person")).to_be_visible()
    console.goto("/review?album=visitors")
    expect(page.get_by_role("heading", name="Is this Ada Acker?")).to_be_visible()
    page.keyboard.press("c")
    expect(page.locator(".said")).to_have_text("Confirmed: 1")


def test_unknown_people_are_named_merged_and_split(console: Console) -> None:
    api = console.login.api
    create_album(api, people=["default"], keep="crops")
    put_photos(
        api,
        a=pictures.photo(2),
        b=pictures.photo(2, take=1),
        c=pictures.photo(3),
        d=pictures.photo(3, take=1),
        e=pictures.photo(2, take=2),
    )
    page = console.goto("/unknown")
    groups = page.get_by_role("link", name="Group")
    expect(groups).to_have_count(2)
    expect(page.locator("li.card").first).to_contain_text("Faces: 3, photos: 3")
    page.get_by_label("Select group 1").check()
    page.get_by_label("Select group 2").check()
    page.get_by_role("button", name="Merge selected groups").click()
    expect(groups).to_have_count(1)
    expect(page.locator("li.card")).to_contain_text("Faces: 5, photos: 5")
    page.get_by_role("button", name="Undo").click()
    expect(groups).to_have_count(2)
    groups.first.click()
    page.get_by_label("e.jpg").check()
    page.get_by_role("button", name="Split selected faces off").click()
    expect(groups).to_have_count(3)
    page.get_by_text("Say who this is").first.click()
    page.get_by_label("Id", exact=True).first.fill("bob")
    page.get_by_label("Name, if the person is new").first.fill("Bob Burk")
    page.get_by_label("Also store up to 4 of the faces").first.check()
    page.get_by_role("button", name="Assign").first.click()
    expect(groups).to_have_count(2)
    bob = api.get("/collections/default/subjects/bob").json()
    assert (bob["name"], bob["templates"]) == ("Bob Burk", 2)
    page.get_by_role("button", name="Undo").click()
    expect(groups).to_have_count(3)
    assert api.get("/collections/default/subjects/bob").json()["templates"] == 0
