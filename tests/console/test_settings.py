"""The settings' pages, links and second factors, in a real browser."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import pictures
from tests.console.conftest import PASSWORD, Console

NEW = "a new and longer password"
PAGES = (
    "",
    "/account",
    "/users",
    "/keys",
    "/policy",
    "/decisions",
    "/stores",
    "/webhooks",
    "/audit",
    "/usage",
    "/transfer",
)


def read_secret(page: Page) -> str:
    """Return what the dialog shows once, and close it."""
    shown = page.get_by_label("Secret", exact=True).filter(visible=True)
    secret = shown.input_value()
    shown.evaluate("element => { element.dataset.read = '' }")
    page.get_by_role("button", name="Done").click()
    expect(page.locator("[data-read]")).to_have_count(0)  # another secret may follow
    return secret


@pytest.fixture
def stranger(console_base: str) -> Iterator[httpx.Client]:
    """The REST API as another tenant's admin."""
    email = f"{uuid4().hex}@example.com"
    with httpx.Client(base_url=f"{console_base}/api/v1", timeout=60) as api:
        api.post("/auth/signup", json={"tenant": "Other", "email": email, "password": PASSWORD})
        token = api.post("/auth/token", data={"username": email, "password": PASSWORD}).json()["access_token"]
        api.headers["authorization"] = f"Bearer {token}"
        yield api


def test_an_invited_viewer_sees_only_their_account(console: Console, browser: Browser) -> None:
    page = console.goto("/settings/users")
    page.get_by_label("Email").fill("grace@" + uuid4().hex + ".example")
    page.get_by_label("Role").first.select_option("viewer")
    page.get_by_role("button", name="Invite a user").click()
    link = read_secret(page)
    expect(page.get_by_role("heading", name="Open invitations")).to_be_visible()
    context = browser.new_context(locale="en-US")
    other = context.new_page()
    other.goto(link)
    expect(other.get_by_text("Acme invites you")).to_be_visible()
    assert "#" not in other.url
    other.get_by_label("New password").fill(NEW)
    other.get_by_role("button", name="Set the password").click()
    other.get_by_role("link", name="Sign in").click()
    email = console.login.api.get("/users").json()["items"][-1]["email"]
    other.get_by_label("Email").fill(email)
    other.get_by_label("Password").fill(NEW)
    other.get_by_role("button", name="Sign in").click()
    other.get_by_role("heading", name="Overview").wait_for()
    other.get_by_role("link", name="Settings").click()
    expect(other.locator("main .card")).to_have_count(1)
    for path in PAGES[2:]:
        response = other.goto(f"{console.login.base}/console/settings{path}")
        assert response is not None
        assert response.status == 403, path
    context.close()
    used = browser.new_page(locale="en-US")
    used.goto(link)
    expect(used.get_by_text("This link was used")).to_be_visible()
    used.close()


def test_a_role_changes_a_link_resets_and_a_user_leaves(console: Console, browser: Browser) -> None:
    email = f"{uuid4().hex}@example.com"
    console.login.api.post("/users", json={"email": email, "password": PASSWORD})
    page = console.goto("/settings/users")
    card = page.locator(".card", has_text=email)
    card.get_by_label("Role").select_option("operator")
    card.get_by_role("button", name="Save").click()
    page.wait_for_load_state()
    expect(card.get_by_label("Role")).to_have_value("operator")
    card.get_by_text("More").click()
    card.get_by_role("button", name="Create a link").click()
    link = read_secret(page)
    other = browser.new_page(locale="en-US")
    other.goto(link)
    other.get_by_label("New password").fill(NEW)
    other.get_by_role("button", name="Set the password").click()
    expect(other.get_by_text("Sign in with your new password")).to_be_visible()
    other.close()
    signed_in = console.login.api.post("/auth/token", data={"username": email, "password": NEW})
    assert signed_in.status_code == 200
    page.wait_for_load_state()
    card.get_by_text("More").click()
    card.get_by_role("button", name="Remove user").click()
    page.get_by_role("button", name="Yes").click()
    expect(card).to_have_count(0)


def test_keys_are_shown_once_rotated_and_revoked(console: Console) -> None:
    page = console.goto("/settings/keys")
    form = page.locator("form[data-api='POST /keys']")
    form.get_by_label("Name").fill("front desk")
    form.get_by_label("recognize people").check()
    form.get_by_label("Only these collections").fill("default")
    form.get_by_label("Valid until").fill("2027-05-01T12:00")
    form.get_by_role("button").click()
    key = read_secret(page)
    assert key.startswith("vk_")
    row = page.locator("tr", has_text="front desk")
    expect(row).to_contain_text("only default")
    row.get_by_role("button", name="Rotate").click()
    assert read_secret(page) != key
    expect(row).to_have_count(2)
    row.first.get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Yes").click()
    expect(row).to_have_count(1)
    page.get_by_text("Create an access key").first.click()
    form = page.locator("form[data-api='POST /access-keys']")
    form.get_by_label("register people").check()
    form.get_by_role("button").click()
    assert read_secret(page).startswith("VK")
    assert len(read_secret(page)) == 40


def test_policy_and_decisions_are_saved(console: Console) -> None:
    page = console.goto("/settings/policy")
    page.get_by_label("Require consent").check()
    page.get_by_label("Keep people for").fill("90")
    with page.expect_navigation():
        page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Require consent")).to_be_checked()
    policy = console.login.api.get("/policy").json()
    assert policy == {"consent_required": True, "retention_days": 90, "second_factor_required": False}
    page = console.goto("/settings/decisions")
    page.get_by_label("Rate of wrong matches").fill("0.0001")
    with page.expect_navigation():
        page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Rate of wrong matches")).to_have_value("0.0001")
    page.get_by_role("button", name="Measure").click()
    expect(page.locator("output.problem")).to_contain_text("at least 50")
    page = console.goto("/settings/stores")
    page.get_by_label("Placeholder attributes").check()
    with page.expect_navigation():
        page.get_by_role("button", name="Save").click()
    assert console.login.api.get("/rekognition-options").json() == {"placeholder_attributes": True}


def test_the_trail_and_the_usage_are_filtered(console: Console) -> None:
    files = {"images": ("a.jpg", pictures.photo(1), "image/jpeg")}
    assert console.login.api.post("/register", data={"subject": "ada"}, files=files).is_success
    page = console.goto("/settings/audit")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Action").select_option("tenant.created")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text(console.login.email)
    page.get_by_label("To", exact=True).fill("2020-01-01")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("heading", name="No entry")).to_be_visible()
    page = console.goto("/settings/usage")
    expect(page.locator("tbody")).to_contain_text("register")


def test_a_person_is_taken_out_and_in_again(console: Console, tmp_path: Path) -> None:
    files = {"images": ("a.jpg", pictures.photo(1), "image/jpeg")}
    console.login.api.post("/register", data={"subject": "ada", "name": "Ada Acker"}, files=files)
    page = console.goto("/settings/transfer")
    page.get_by_label("Id", exact=True).fill("ada")
    page.get_by_role("button", name="Export a person").click()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save the file").click()
    file = tmp_path / saved.value.suggested_filename
    saved.value.save_as(file)
    exported = json.loads(file.read_text())
    assert exported["name"] == "Ada Acker"
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Import a person").click()
    expect(page.locator("output.problem")).to_contain_text("already has")
    console.login.api.delete("/collections/default/subjects/ada")
    page.get_by_role("button", name="Import a person").click()
    page.get_by_role("link", name="Stored: ada").click()
    expect(page.get_by_role("heading", name="Ada Acker")).to_be_visible()


def test_a_second_factor_is_set_up_and_asked_for(console: Console) -> None:
    console.login.api.put("/policy", json={"second_factor_required": True})
    page = console.goto("/people")
    expect(page.get_by_text("Your tenant demands a second factor")).to_be_visible()
    page.get_by_label("Current password").first.fill(PASSWORD)
    page.get_by_role("button", name="Set up").click()
    expect(page.get_by_alt_text("QR code")).to_be_visible()
    secret = page.locator("second-factor code").inner_text()
    page.get_by_label("Code").fill(pyotp.TOTP(secret).at(int(time.time()) - 30))
    page.get_by_role("button", name="Turn on").click()
    codes = read_secret(page).split()
    assert len(codes) == 10
    expect(page.get_by_text("Unused recovery codes: 10")).to_be_visible()
    console.goto("/people")
    expect(page.get_by_role("heading", name="People")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Email").fill(console.login.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("The code is wrong")
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_timeout(3000)
    print("PAGE", page.url, page.locator("body").inner_text()[:600], codes[0])
    page.get_by_role("heading", name="Overview").wait_for(timeout=2000)


def test_sessions_end_and_the_password_changes(console: Console) -> None:
    page = console.goto("/settings/account")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="End", exact=True).click()
    expect(rows).to_have_count(1)
    assert console.login.api.get("/auth/me").status_code == 401
    page.locator("#current").fill("wrong")
    page.locator("#new").fill(NEW)
    page.get_by_role("button", name="Change password").click()
    expect(page.locator("output.problem")).to_contain_text("wrong")
    page.locator("#current").fill(PASSWORD)
    with page.expect_navigation():
        page.get_by_role("button", name="Change password").click()
    signed_in = console.login.api.post("/auth/token", data={"username": console.login.email, "password": NEW})
    assert signed_in.status_code == 200


def test_another_tenants_webhook_is_not_found(console: Console, stranger: httpx.Client) -> None:
    created = stranger.post("/webhooks", json={"url": "https://93.184.215.14/hook"})
    assert created.status_code == 201, created.text
    response = console.page.goto(f"{console.login.base}/console/settings/webhooks/{created.json()['webhook_id']}")
    assert response is not None
    assert response.status == 404


def test_a_webhook_is_created_disabled_and_deleted(console: Console) -> None:
    page = console.goto("/settings/webhooks")
    page.get_by_label("Address").fill("http://10.0.0.1/hook")
    page.get_by_role("button", name="Create a webhook").click()
    expect(page.locator("output.problem")).to_be_visible()
    page.get_by_label("Address").fill("https://93.184.215.14/hook")
    page.get_by_label("Description").fill("directory")
    page.get_by_label("Person added").check()
    page.get_by_role("button", name="Create a webhook").click()
    secret = read_secret(page)
    assert secret.startswith("whsec_")
    page.get_by_role("link", name="directory").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("Somebody disabled it.")).to_be_visible()
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_text("works", exact=True)).to_be_visible()
    page.get_by_role("button", name="Replace the secret").click()
    with page.expect_navigation():
        assert read_secret(page) not in ("", secret)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("heading", name="No webhook yet")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_pages_fit_into_320_pixels(console: Console, language: str) -> None:
    console.page.set_viewport_size({"width": 320, "height": 640})
    console.page.goto(f"{console.login.base}/console/language?name={language}")
    for path in PAGES:
        page = console.goto(f"/settings{path}")
        assert page.locator("html").get_attribute("lang") == language
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
