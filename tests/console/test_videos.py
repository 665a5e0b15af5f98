"""The pages about videos, in a real browser on real inference."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.console.albums import create_album, register
from tests.console.conftest import Console

pytest.importorskip("av")

from tests.videos import Part, film


def test_a_video_is_sent_watched_and_erased(console: Console) -> None:
    page = console.goto("/videos")
    expect(page.get_by_role("heading", name="There is no video yet")).to_be_visible()
    register(console.login.api, "ada", 1, "Ada Acker")
    create_album(console.login.api, people=["default"])
    data = film([Part(1, 0, 3), Part(2, 4, 8, 480, 400), Part(1, 7, 11, 150, 200, take=2)], 11, per_second=4)
    page.reload()
    page.get_by_label("Video file").set_input_files({"name": "opening.mp4", "mimeType": "video/mp4", "buffer": data})
    page.get_by_role("button", name="Send a video").click()
    expect(page.get_by_role("heading", name="opening.mp4")).to_be_visible()
    expect(page.get_by_role("heading", name="Who appears when")).to_be_visible(timeout=120_000)
    bars = page.locator(".bar")
    expect(bars).to_have_count(3)
    first, second = bars.nth(0).bounding_box(), bars.nth(1).bounding_box()
    assert first is not None
    assert second is not None
    assert first["x"] + first["width"] < second["x"]
    page.mouse.move(0, 0)
    page.get_by_role("button", name="Ada Acker, 0:07 to 0:10").focus()
    expect(page.locator(".said")).to_have_text("Ada Acker, 0:07 to 0:10")
    page.keyboard.press("Tab")
    expect(page.locator(".said")).to_have_text("Person 2, 0:04 to 0:07")
    expect(page.get_by_role("row", name="Ada Acker")).to_contain_text("0:00\u20130:02, 0:07\u20130:10")
    with page.expect_download() as subtitles:
        page.get_by_role("link", name="Download as subtitles (VTT)").click()
    assert subtitles.value.suggested_filename == "opening.mp4.vtt"
    assert Path(subtitles.value.path()).read_text().startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nAda Acker\n")
    console.goto("/videos")
    expect(page.get_by_role("row", name="opening.mp4")).to_contain_text("done")
    page.get_by_role("link", name="opening.mp4").click()
    page.get_by_role("button", name="Erase this video").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("heading", name="There is no video yet")).to_be_visible()
    assert console.login.api.get("/videos").json()["items"] == []


def test_a_file_that_is_no_video_says_why(console: Console) -> None:
    create_album(console.login.api)
    page = console.goto("/videos")
    page.get_by_label("Video file").set_input_files({"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"no video"})
    page.get_by_role("button", name="Send a video").click()
    expect(page.locator("#video")).to_contain_text("failed")
    (video,) = console.login.api.get("/videos").json()["items"]
    expect(page.locator("#video")).to_contain_text(video["detail"])
