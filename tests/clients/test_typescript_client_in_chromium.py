"""The built TypeScript client in a page of another origin: a real Chromium loads it as it is, without a bundler."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect, sync_playwright

from tests import pictures
from tests.servers import serving
from vultus_client import Vultus

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt install chromium)")

_PAGE = """<!doctype html>
<html lang="en">
<title>Recognize</title>
<label>Photo <input type="file"></label>
<output></output>
<script type="module">
  import { Vultus, problems } from "/node_modules/vultus-client/dist/index.js";

  const [url, apiKey] = decodeURIComponent(location.hash.slice(1)).split(" ");
  const vultus = new Vultus(url, { apiKey, retries: { count: 0 } });
  const output = document.querySelector("output");
  document.querySelector("input").addEventListener("change", async ({ target }) => {
    output.textContent = "asking";
    try {
      const { faces } = await vultus.recognize(target.files[0]);
      output.textContent = faces.flatMap(({ candidates }) => candidates.map(({ name }) => name)).join() || "nobody";
    } catch (error) {
      const isUnreadable = error instanceof problems.ImageUnreadable;
      output.textContent = [error.name, isUnreadable, error.requestId?.length > 0].join();
    }
  });
</script>
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def hosting(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of this machine; yields its origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def origins(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The origins of two sites with the same page; the server allows the first."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(built / "node_modules" / "vultus-client", folder / "node_modules" / "vultus-client")
    (folder / "index.html").write_text(_PAGE)
    with hosting(folder) as allowed, hosting(folder) as other:
        yield allowed, other


@pytest.fixture(scope="module")
def server(client_env: dict[str, str], origins: tuple[str, str]) -> Iterator[str]:
    with serving(1, **client_env, VULTUS_CORS_ORIGINS=origins[0]) as (base, _):
        yield base


@pytest.fixture(scope="module")
def browser(server: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def key(server: str) -> str:
    """A key of a tenant that knows person 1."""
    with Vultus(server, email="pages@example.com", password="correct horse battery") as vultus:
        vultus.sign_up("Pages")
        vultus.register("emp-1", pictures.photo(1), name="Ada Acker")
        return vultus.keys.issue("page", ["recognize"])["key"]


def open_page(browser: Browser, origin: str, server: str, key: str) -> Page:
    page = browser.new_page()
    page.goto(f"{origin}/#{server}%20{key}")
    page.wait_for_load_state()
    return page


def choose(page: Page, content: bytes) -> None:
    """Choose a photo as people do."""
    chosen: FilePayload = {"name": "me.jpg", "mimeType": "image/jpeg", "buffer": content}
    page.get_by_label("Photo").set_input_files([chosen])


def test_a_page_of_an_allowed_origin_recognizes_a_file(
    browser: Browser, origins: tuple[str, str], server: str, key: str
) -> None:
    page = open_page(browser, origins[0], server, key)
    choose(page, pictures.photo(1, 2))
    expect(page.locator("output")).to_have_text("Ada Acker", timeout=30_000)
    choose(page, pictures.landscape())
    expect(page.locator("output")).to_have_text("nobody", timeout=30_000)
    choose(page, b"no photo")
    expect(page.locator("output")).to_have_text("ImageUnreadable,true,true", timeout=30_000)
    page.close()


def test_a_page_of_another_origin_gets_no_answer(
    browser: Browser, origins: tuple[str, str], server: str, key: str
) -> None:
    page = open_page(browser, origins[1], server, key)
    choose(page, pictures.photo(1, 2))
    expect(page.locator("output")).to_have_text("ConnectionLost,false,false", timeout=30_000)
    page.close()


def test_only_named_origins_are_allowed_and_never_with_credentials(server: str, origins: tuple[str, str]) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,last-event-id"}
    url = f"{server}/api/v1/recognize"
    allowed = httpx.options(url, headers={"origin": origins[0], **asked})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, origins[0])
    assert "access-control-allow-credentials" not in allowed.headers
    assert "access-control-allow-origin" not in httpx.options(url, headers={"origin": origins[1], **asked}).headers
    refused = httpx.post(url, headers={"origin": origins[0]})
    assert refused.status_code == 401
    exposed = refused.headers["access-control-expose-headers"].split(", ")
    assert {"retry-after", "x-request-id"} <= set(exposed)
