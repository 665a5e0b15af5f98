"""The pages about albums and their guests, in a real browser on real inference."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests import pictures
from tests.console.albums import create_album, put_photos
from tests.console.conftest import Console, Login, picture


def test_an_album_is_created_filled_searched_and_erased(console: Console) -> None:
    page = console.goto("/albums")
    expect(page.get_by_role("heading", name="There is no album yet")).to_be_visible()
    page.get_by_label("Id of the album").fill("party")
    page.get_by_label("Title").fill("Party")
    page.get_by_label("Keep a small picture of each face").check()
    page.get_by_label("default").check()
    page.get_by_role("button", name="Create an album").click()
    page.get_by_role("link", name="Party").click()
    page.get_by_label("Choose photos").first.set_input_files(
        [
            picture(pictures.group(1, 2), "both.jpg"),
            picture(pictures.photo(3), "three.jpg"),
            picture(b"no photo", "bad.jpg"),
        ]
    )
    expect(page.get_by_text("Sent 3, already there 0, refused 0, of 3.")).to_be_visible()
    expect(page.locator("[data-count=done]")).to_have_text("2")
    expect(page.locator("[data-count=faces]")).to_have_text("3")
    expect(page.get_by_role("row", name="both.jpg")).to_contain_text("done")
    page.locator("selfie-search input[type=file]").set_input_files([picture(pictures.photo(2, take=1))])
    expect(page.get_by_text("Photos found: 1")).to_be_visible()
    expect(page.locator("selfie-search").get_by_role("heading", name="both.jpg")).to_be_visible()
    crop = page.locator("selfie-search img.crop")
    assert crop.evaluate("image => image.decode().then(() => image.naturalWidth)") == 160
    page.get_by_label("Title").fill("Summer party")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Summer party")).to_be_visible()
    page.get_by_role("button", name="Close to new photos").click()
    expect(page.get_by_text("The album is closed to new photos.")).to_be_visible()
    page.get_by_role("button", name="Erase: three.jpg").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("row", name="three.jpg")).to_have_count(0)
    page.get_by_role("button", name="Erase this album").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("heading", name="There is no album yet")).to_be_visible()
    assert console.login.api.get("/albums/party").status_code == 404


class Gate:
    """Lets the first photos of a page through, and the others when it is opened."""

    def __init__(self, page: Page, after: int) -> None:
        self._held: list[Route] = []
        self._left = after
        page.route("**/albums/party/photos/*", self._handle)

    def open(self) -> None:
        self._left = 1_000
        for route in self._held:
            route.continue_()

    def _handle(self, route: Route) -> None:
        self._left -= route.request.method == "PUT"
        if self._left < 0:
            self._held.append(route)
        else:
            route.continue_()


def test_an_upload_that_a_reload_interrupts_sends_nothing_twice(console: Console, tmp_path: Path) -> None:
    create_album(console.login.api)
    files = []
    for number in range(30):
        files.append(tmp_path / f"photo {number}.jpg")
        files[-1].write_bytes(pictures.photo(1, take=number + 1))
    sent: list[str] = []

    def note(request: Request) -> None:
        if request.method == "PUT":
            sent.append(request.url)

    page = console.goto("/albums/party")
    page.on("request", note)
    Gate(page, after=5)
    page.locator("upload-photos input").first.set_input_files(files)
    expect(page.locator(".said")).to_contain_text("Sent 5")
    page.unroute_all()
    page.reload()
    arrived = {one["external_id"] for one in console.login.api.get("/albums/party/photos?limit=500").json()["items"]}
    assert 5 <= len(arrived) < 30
    sent.clear()
    page.locator("upload-photos input").first.set_input_files(files)
    expect(page.locator(".said")).to_have_text(
        f"All is sent. Sent {30 - len(arrived)}, already there {len(arrived)}, refused 0, of 30."
    )
    assert len(sent) == len(set(sent)) == 30 - len(arrived)
    assert console.login.api.get("/albums/party").json()["photos"]["total"] == 30


def test_an_upload_waits_for_the_connection_and_goes_on(login: Login, browser: Browser, tmp_path: Path) -> None:
    create_album(login.api)
    files = []
    for number in range(30):
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(pictures.photo(1, take=number + 1))
    context = browser.new_context(locale="en-US")
    page = login.open(context)
    page.goto(f"{login.base}/console/albums/party")
    gate = Gate(page, after=5)
    page.locator("upload-photos input").first.set_input_files(files)
    expect(page.locator(".said")).to_contain_text("Sent 5")
    context.set_offline(True)
    gate.open()
    expect(page.locator(".said")).to_contain_text("then goes on")
    context.set_offline(False)
    expect(page.locator(".said")).to_have_text("All is sent. Sent 30, already there 0, refused 0, of 30.")
    assert login.api.get("/albums/party").json()["photos"]["total"] == 30
    context.close()


def test_failed_photos_say_why(console: Console) -> None:
    create_album(console.login.api)
    put_photos(console.login.api, cut=pictures.photo(1)[:4000], empty=pictures.landscape())
    page = console.goto("/albums/party")
    expect(page.get_by_role("row", name="empty.jpg")).to_contain_text("shows nobody")
    page.get_by_label("Show", exact=True).select_option("failed")
    expect(page.get_by_role("row", name="empty.jpg")).to_have_count(0)
    expect(page.get_by_role("row", name="cut.jpg")).to_contain_text("failed")
    page.get_by_role("button", name="Process failed photos again").click()
    expect(page.get_by_role("row", name="cut.jpg")).to_be_visible()


def test_a_guest_finds_photos_by_a_link_without_an_account(console: Console, browser: Browser) -> None:
    create_album(console.login.api)
    put_photos(console.login.api, both=pictures.group(1, 2), three=pictures.photo(3))
    page = console.goto("/albums/party")
    page.get_by_text("Issue a link").first.click()
    page.get_by_label("What guests agree to").fill("We look for you.")
    page.get_by_role("button", name="Issue a link").click()
    address = page.get_by_label("Secret").input_value()
    assert address.startswith(f"{console.login.base}/console/guest#vl_")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("button", name="Revoke")).to_be_visible()
    context = browser.new_context(locale="de-DE")
    guest = context.new_page()
    urls: list[str] = []
    guest.on("request", lambda request: urls.append(request.url))
    guest.goto(address)
    expect(guest.get_by_role("heading", name="Party")).to_be_visible()
    expect(guest.get_by_text("We look for you.")).to_be_visible()
    expect(guest.get_by_text("Ein Foto von Ihnen")).to_be_hidden()
    guest.get_by_label("Ich stimme zu.").check()
    guest.locator("input[type=file]").set_input_files([picture(pictures.photo(1, take=1))])
    expect(guest.get_by_text("Gefundene Fotos: 1")).to_be_visible()
    expect(guest.get_by_role("heading", name="both.jpg")).to_be_visible()
    assert not [url for url in urls if "vl_" in url.partition("#")[0]]
    assert context.cookies() == []
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("button", name="Revoke")).to_have_count(0)
    guest.reload()
    expect(guest.get_by_role("alert")).to_contain_text("Dieser Link gilt nicht")
    context.close()


@pytest.mark.parametrize(
    "path", ["/albums/party", "/unknown?album=party", "/review?album=party", "/videos?album=party"]
)
def test_an_album_of_another_tenant_does_not_exist(console: Console, path: str) -> None:
    page = console.goto(path)
    expect(page.get_by_role("heading", name="That did not work")).to_be_visible()
