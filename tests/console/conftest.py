"""The console in a real Chromium: a server with a worker inside, and pages of a signed-in admin."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    FilePayload,
    Locator,
    Page,
    expect,
    sync_playwright,
)

from tests.servers import serving

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PASSWORD = "correct horse battery"
expect.set_options(timeout=30_000)


@contextmanager
def serving_console(data_dir: Path, service_url: str, synthetic_pack: Path, **more: str) -> Iterator[str]:
    """Run a server with a worker inside; yields its address."""
    env = {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": service_url,
        "VULTUS_MODEL_PACK": str(synthetic_pack),
        "VULTUS_PUBLIC_RATE": "100000/minute",
        "VULTUS_LOG_LEVEL": "warning",
        "VULTUS_ALBUM_WORKER": "true",
        **more,
    }
    with serving(1, **env) as (base, _):
        yield base


@pytest.fixture(scope="module")  # its worker would process albums of other tests, whose photos are elsewhere
def console_base(data_dir: Path, service_url: str, synthetic_pack: Path) -> Iterator[str]:
    with serving_console(data_dir, service_url, synthetic_pack) as base:
        yield base


@pytest.fixture(scope="module")  # while it runs, no asynchronous fixture of another module may begin
def browser(console_base: str) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """Let every click and choice of files wait until the page's scripts run, as people do."""
    original = {name: getattr(Locator, name) for name in ("click", "set_input_files", "check", "press_sequentially")}

    def patient(name: str) -> Callable[..., Any]:
        def act(self: Locator, *args: Any, **options: Any) -> Any:
            self.page.wait_for_load_state()
            return original[name](self, *args, **options)

        return act

    for name in original:
        setattr(Locator, name, patient(name))
    yield
    for name, method in original.items():
        setattr(Locator, name, method)


@dataclass
class Login:
    """A tenant's admin, and the tenant's REST API."""

    email: str
    api: httpx.Client
    base: str

    def open(self, context: BrowserContext) -> Page:
        """Sign in by the form, and return the page."""
        page = context.new_page()
        page.goto(f"{self.base}/console")
        page.get_by_label("Email").fill(self.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Overview").wait_for()
        return page


@pytest.fixture
def login(console_base: str) -> Iterator[Login]:
    """A new tenant."""
    email = f"{uuid4().hex}@example.com"
    with httpx.Client(base_url=f"{console_base}/api/v1", timeout=60) as api:
        body = {"tenant": "Acme", "email": email, "password": PASSWORD}
        assert api.post("/auth/signup", json=body).status_code == 201
        token = api.post("/auth/token", data={"username": email, "password": PASSWORD}).json()["access_token"]
        api.headers["authorization"] = f"Bearer {token}"
        yield Login(email, api, console_base)


@dataclass
class Console:
    """A page of a signed-in admin; `errors` are those of its scripts."""

    page: Page
    login: Login
    errors: list[str] = field(default_factory=list)

    def goto(self, path: str) -> Page:
        self.page.goto(f"{self.login.base}/console{path}")
        return self.page


@pytest.fixture
def console(browser: Browser, login: Login) -> Iterator[Console]:
    """A page of the admin; the test fails if its scripts had an error or its policy refused something."""
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(20_000)
    page = login.open(context)
    opened = Console(page, login)

    def note(message: ConsoleMessage) -> None:
        # Statuses of the API that a test provokes are no faults of the page.
        if message.type == "error" and "the server responded with a status of 4" not in message.text:
            opened.errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    yield opened
    context.close()
    assert opened.errors == []


def picture(data: bytes, name: str = "photo.jpg") -> FilePayload:
    """A photo as a browser's file."""
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}
