"""Swagger UI in a real Chromium: what its forms send when a newcomer fills in only what a call requires."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import FilePayload, Locator, Page, sync_playwright

from app.routes.photo_paths import IMAGE_PATHS
from tests import pictures
from tests.servers import serving

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt install chromium)")

FORMS = {
    "register": [({"images"}, 201)],
    "register/all": [({"image"}, 201)],
    "recognize": [({"image"}, 200)],
    "recognize/batch": [({"images"}, 200)],
    "verify": [({"image"}, 404)],  # nobody is registered as this subject
    "compare": [({"source", "target"}, 200)],
    "compare/batch": [({"source", "targets"}, 200)],
    "detect": [({"image"}, 200)],
    "extract": [({"image"}, 200)],
    "extract/batch": [({"images"}, 200)],
    "albums/{album}/photos": [({"images"}, 404)],  # there is no such album
    "PUT albums/{album}/photos/{external_id}": [({"image"}, 404)],
    "albums/{album}/search": [({"images"}, 404)],
    "guest/search": [({"image"}, 401)],  # needs the token of a link
    "videos": [({"video"}, 404)],  # there is no such album
    "videos/search": [({"image"}, 404)],
}
"""For each form with photos: the files to choose, and the expected status. The method is POST unless named."""

# FormData with files does not appear in Chromium's record of requests.
RECORD_SENT_FIELDS = """
const send = window.fetch;
window.sent = [];
window.fetch = (resource, options) => {
  const body = (options ?? resource).body;
  if (body instanceof FormData) window.sent.push([...body.keys()]);
  return send(resource, options);
};
"""


def split(name: str) -> tuple[str, str]:
    """Return the method and the path of a form."""
    method, _, path = name.rpartition(" ")
    return method or "POST", f"/api/v1/{path}"


@pytest.fixture(scope="module")
def base(data_dir: Path, service_url: str, synthetic_pack: Path) -> Iterator[str]:
    env = {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": service_url,
        "VULTUS_MODEL_PACK": str(synthetic_pack),
        "VULTUS_PUBLIC_RATE": "100000/minute",
        "VULTUS_LOG_LEVEL": "warning",
    }
    with serving(1, **env) as (base, _):
        yield base


@pytest.fixture(scope="module")
def document(base: str) -> dict[str, Any]:
    document: dict[str, Any] = httpx.get(f"{base}/openapi.json").json()
    return document


@pytest.fixture(scope="module")
def page(base: str) -> Iterator[Page]:
    """The page after signing up and logging in there, as its introduction says."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(15_000)
        page.add_init_script(RECORD_SENT_FIELDS)
        page.goto(f"{base}/docs")
        signup = opened(page, "post", "/api/v1/auth/signup")
        body = {**json.loads(signup.locator("textarea").input_value()), "email": f"{uuid4().hex}@example.com"}
        signup.locator("textarea").fill(json.dumps(body))
        assert execute(signup) == 201
        close(signup)
        page.get_by_role("button", name="Authorize").first.click()
        dialog = page.locator(".modal-ux")
        dialog.locator("#oauth_username").fill(body["email"])
        dialog.locator("#oauth_password").fill(body["password"])
        dialog.get_by_role("button", name="Apply given OAuth2 credentials").click()
        dialog.get_by_role("button", name="Remove authorization").wait_for()
        dialog.get_by_role("button", name="Close").first.click()
        yield page
        browser.close()


def opened(page: Page, method: str, path: str) -> Locator:
    """The block of an operation, expanded and ready to try out."""
    block = page.locator(f".opblock-{method}", has=page.locator(f'[data-path="{path}"]'))
    scroll_to(block)
    if "is-open" not in (block.get_attribute("class") or ""):
        block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    return block


def scroll_to(block: Locator) -> None:
    """Scroll down until a block is there: Swagger UI draws a long document as far as somebody has scrolled."""
    if not block.count():
        block.page.evaluate("window.scrollTo(0, 0)")
    for _ in range(200):
        if block.count():
            block.scroll_into_view_if_needed()
            return
        block.page.evaluate("window.scrollBy(0, innerHeight)")
        block.page.wait_for_timeout(50)


def execute(block: Locator) -> int:
    with block.page.expect_response("**/api/v1/**") as answered:
        block.get_by_role("button", name="Execute").click()
    return answered.value.status


def fill_in(field: Locator, text: str) -> None:
    """Fill in a text, the first item of a list, or the last choice."""
    if field.locator("select").count():
        field.locator("select").select_option(index=field.locator("option").count() - 1)
        return
    if field.get_by_role("button", name="Add").count():
        field.get_by_role("button", name="Add").first.click()
    field.locator("input").first.fill(text)


def close(block: Locator) -> None:
    block.get_by_role("button", name="Cancel").click()
    block.locator(".opblock-summary-control").click()


def test_every_form_with_photos_is_tried_out(document: dict[str, Any]) -> None:
    multipart = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "multipart/form-data" in operation.get("requestBody", {}).get("content", {})
    }
    assert multipart == {f"{method} {path}" for method, path in map(split, FORMS)}
    assert {path for _, path in map(split, FORMS) if "{" not in path} == IMAGE_PATHS | {
        "/api/v1/guest/search",
        "/api/v1/videos",
        "/api/v1/videos/search",
    }


@pytest.mark.parametrize(
    ("name", "files", "status"), [(name, files, status) for name, cases in FORMS.items() for files, status in cases]
)
def test_a_form_sends_only_what_was_filled_in(
    name: str, files: set[str], status: int, page: Page, document: dict[str, Any]
) -> None:
    method, path = split(name)
    schema = document["paths"][path][method.lower()]["requestBody"]["content"]["multipart/form-data"]["schema"]
    block = opened(page, method.lower(), path)
    for parameter in re.findall(r"{(\w+)}", path):
        block.locator(f'tr[data-param-name="{parameter}"] input').fill("nobody")
    assert '"string"' not in block.locator(".responses-table .example").first.inner_text()
    for field in files:
        choose_photo(block, field)
    text = set(schema.get("required", [])) - files
    for field in text:
        fill_in(row(block, field), "nobody" if name == "verify" else "emp-1042")
    page.evaluate("sent.length = 0")
    assert execute(block) == status
    assert page.evaluate("sent.map((fields) => fields.sort())") == [sorted(files | text)]
    close(block)


def test_reset_empties_a_form(page: Page) -> None:
    block = opened(page, "post", "/api/v1/detect")
    row(block, "detail").locator("select").select_option("fast")
    sent = []
    for _ in range(2):
        choose_photo(block, "image")
        page.evaluate("sent.length = 0")
        assert execute(block) == 200
        sent += page.evaluate("sent.map((fields) => fields.sort())")
        block.get_by_role("button", name="Reset").click()
    assert sent == [["detail", "image"], ["image"]]
    close(block)


def choose_photo(block: Locator, field: str) -> None:
    photo = FilePayload(name="ada.jpg", mimeType="image/jpeg", buffer=pictures.photo(1))
    row(block, field).locator("input[type=file]").set_input_files(photo)


def row(block: Locator, field: str) -> Locator:
    return block.locator(f'tr[data-property-name="{field}"]')


@pytest.mark.parametrize(
    ("method", "path"),
    [("put", "/api/v1/policy"), ("post", "/api/v1/collections/{collection}/subjects"), ("post", "/api/v1/users")],
)
def test_the_editor_of_a_json_body_begins_with_its_required_fields(
    method: str, path: str, page: Page, document: dict[str, Any]
) -> None:
    content = document["paths"][path][method]["requestBody"]["content"]["application/json"]
    block = opened(page, method, path)
    assert json.loads(block.locator("textarea").input_value()) == content["example"]
    close(block)
