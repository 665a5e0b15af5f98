"""A tenant of a benchmark's server, and its admin at the console in Chromium."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import asyncpg
import httpx
from playwright.sync_api import Page, sync_playwright

SECRET = "a secret of this benchmark only, 32 bytes or more"
_PASSWORD = uuid4().hex
_PLAN = "INSERT INTO plans (name, rates, quotas) VALUES ('bench', $1, '{}')"
_RATES = dict.fromkeys(("read", "register", "recognize", "delete", "admin"), "10000000/minute")


def create_tenant(base: str, name: str) -> tuple[str, dict[str, str]]:
    """Sign up; returns the admin's email, and headers for the REST API."""
    email = f"{uuid4().hex}@example.com"
    api = f"{base}/api/v1"
    body = {"tenant": name, "email": email, "password": _PASSWORD}
    httpx.post(f"{api}/auth/signup", json=body).raise_for_status()
    token = httpx.post(f"{api}/auth/token", data={"username": email, "password": _PASSWORD}).raise_for_status().json()
    return email, {"authorization": f"Bearer {token['access_token']}"}


async def put_on_plan(owner: str) -> None:
    """Lift the rates of the only tenant; `owner` is the database's address of its owner."""
    connection = await asyncpg.connect(owner)
    await connection.execute(_PLAN, json.dumps(_RATES))
    await connection.execute("UPDATE tenants SET plan = 'bench'")
    await connection.close()


@contextmanager
def signed_in(base: str, email: str) -> Iterator[Page]:
    """Sign in at the console in Chromium; yields the page."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(locale="en-US")
        page.goto(f"{base}/console")
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password").fill(_PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Overview").wait_for()
        yield page
        browser.close()
