"""The pages about people, in a real browser on real inference."""

import pytest
from playwright.sync_api import expect

from tests import pictures
from tests.console.conftest import Console, picture


def test_a_person_is_added_found_and_erased(console: Console) -> None:
    page = console.goto("/people/new")
    page.get_by_label("Id", exact=True).fill("emp-1")
    page.get_by_label("Name").fill("Ada Acker")
    page.locator("input[type=file]").set_input_files([picture(pictures.photo(1)), picture(pictures.photo(1, take=1))])
    page.get_by_role("button", name="Store faces").click()
    expect(page.get_by_role("heading", name="Ada Acker")).to_be_visible()
    expect(page.get_by_role("heading", name="Stored faces (2)")).to_be_visible()
    console.goto("/people")
    page.get_by_label("Search by name or id").press_sequentially("ack")
    expect(page.get_by_role("link", name="Ada Acker")).to_be_visible()
    page.get_by_label("Search by name or id").fill("nobody")
    expect(page.get_by_role("heading", name="Nobody found")).to_be_visible()
    console.goto("/people/default/emp-1")
    page.get_by_text("Erase this person").first.click()
    page.get_by_role("button", name="Erase this person").click()
    with page.expect_download() as receipt:
        page.get_by_role("button", name="Yes").click()
        page.get_by_role("link", name="Save the receipt").click()
    assert receipt.value.suggested_filename == "receipt.json"
    assert console.login.api.get("/collections/default/subjects/emp-1").status_code == 404


def test_a_refused_photo_says_why(console: Console) -> None:
    page = console.goto("/people/new")
    page.get_by_label("Id", exact=True).fill("emp-1")
    page.locator("input[type=file]").set_input_files([picture(pictures.landscape())])
    page.get_by_role("button", name="Store faces").click()
    expect(page.locator(".note.bad")).to_contain_text("face")


def test_boxes_lie_where_the_faces_are(console: Console) -> None:
    data = pictures.group(1, 2)
    stored = console.login.api.post("/detect", files={"image": ("a.jpg", data, "image/jpeg")}).json()
    boxes = sorted((face["box"] for face in stored["faces"]), key=lambda box: box["x"])
    assert len(boxes) == 2
    page = console.goto("/recognize")
    page.locator("input[type=file]").set_input_files([picture(data)])
    expect(page.locator(".faces .face")).to_have_count(2)
    for width in (320, 768, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        shown = page.locator(".faces").evaluate(
            """frame => {
                const image = frame.querySelector("img"), {left, top, width} = image.getBoundingClientRect();
                const places = [...frame.querySelectorAll(".face")].map(one => one.getBoundingClientRect());
                return [width / image.naturalWidth, places.map(one => [one.left - left, one.top - top, one.width,
                    one.height])];
            }"""
        )
        scale, places = shown
        for box, place in zip(boxes, sorted(places), strict=True):
            wanted = [scale * box[side] for side in ("x", "y", "width", "height")]
            assert place == pytest.approx(wanted, abs=2)


def test_people_are_recognized_with_boxes(console: Console) -> None:
    for seed, subject in ((1, "ada"), (2, "bob")):
        files = {"images": ("a.jpg", pictures.photo(seed), "image/jpeg")}
        assert console.login.api.post(
            "/register", data={"subject": subject, "name": subject.title()}, files=files
        ).is_success
    page = console.goto("/recognize")
    page.locator("input[type=file]").set_input_files([picture(pictures.group(1, 2))])
    expect(page.locator(".face.match")).to_have_count(2)
    expect(page.get_by_role("heading", name="Ada match")).to_be_visible()
    page.goto(page.url.replace("recognize", "compare"))
    inputs = page.locator("input[type=file]")
    inputs.nth(0).set_input_files([picture(pictures.photo(1))])
    inputs.nth(1).set_input_files([picture(pictures.group(1, 2))])
    expect(page.get_by_role("heading", name="Face 1 match")).to_be_visible()
    expect(page.get_by_role("heading", name="Face 2 no match")).to_be_visible()
