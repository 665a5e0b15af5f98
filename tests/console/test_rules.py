"""What holds for every page: accessible, narrow, without foreign or inline code, and closed to others."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from app.console.texts import LANGUAGES, catalog, choose_language
from app.domain.events import EventType
from app.permissions import Quota
from tests import pictures
from tests.console.conftest import PASSWORD, Console, Login

CONSOLE = Path(__file__).resolve().parents[2] / "app" / "console"
MAX_SCRIPT_BYTES = 100 * 1024
PAGES = ("", "/people", "/people/new", "/people/default/ada", "/recognize", "/compare", "/albums", "/review", "/videos")


def overflowing(page: Page) -> list[str]:
    """The elements that are wider than the page, so that somebody would have to scroll sideways."""
    found: list[str] = page.evaluate(
        "() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('body *')]"
        ".filter(e => !e.closest('.table') && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    return found


@pytest.fixture
def filled(console: Console) -> Console:
    files = {"images": ("a.jpg", pictures.photo(1), "image/jpeg")}
    fields = {"subject": "ada", "name": "Ada Acker"}
    assert console.login.api.post("/register", data=fields, files=files).is_success
    return console


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(filled: Console, scheme: Any) -> None:
    filled.page.emulate_media(color_scheme=scheme)
    for path in PAGES:
        page = filled.goto(path)
        found = Axe().run(page)
        serious = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
        assert serious == [], (path, found.generate_report())


def test_every_page_fits_a_narrow_window(filled: Console) -> None:
    filled.page.set_viewport_size({"width": 320, "height": 640})
    for path in PAGES:
        assert overflowing(filled.goto(path)) == [], path


def test_no_page_loads_many_scripts(filled: Console) -> None:
    for path in PAGES:
        loaded = filled.goto(path).evaluate(
            "() => performance.getEntriesByType('resource').filter(e => new URL(e.name).pathname.endsWith('.js'))"
            ".reduce((sum, e) => sum + e.decodedBodySize, 0)"
        )
        assert 50_000 < loaded <= MAX_SCRIPT_BYTES, path


@pytest.mark.parametrize("path", sorted(CONSOLE.rglob("*.html")), ids=lambda path: path.name)
def test_templates_have_no_inline_code_and_no_foreign_address(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|https?://", text)
    for form in re.findall(r"<form[^>]*data-api[^>]*>", text):
        assert 'method="dialog"' in form, "the browser itself must not send it: fields would be in the address"
    for script in re.findall(r"<script[^>]*>", text):
        assert "src=" in script or 'type="application/json"' in script


def test_languages_have_the_same_texts() -> None:
    english = catalog("en")
    for name in LANGUAGES:
        texts = catalog(name)
        assert list(texts) == sorted(english), name
        for key, text in texts.items():
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", english[key])), (name, key)


def test_every_text_that_is_used_exists() -> None:
    used = set()
    for path in [*CONSOLE.rglob("*.html"), *CONSOLE.rglob("*.js")]:
        used |= set(re.findall(r"""\b(?:t|text)\(\s*["']([a-z_.]+[a-z_])["']""", path.read_text()))
    beginnings = {key for key in used if key.endswith("_")}  # what follows is a value
    assert used - set(catalog("en")) - beginnings == set()
    assert all(any(key.startswith(one) for key in catalog("en")) for one in beginnings)
    assert {f"event.{kind.value}" for kind in EventType} <= set(catalog("en"))
    assert {f"quota.{quota.value}" for quota in Quota} <= set(catalog("en"))


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "", "en"),
        (None, "de-AT,de;q=0.9,en;q=0.8", "de"),
        (None, "fr, en;q=0.5, de;q=0.7", "de"),
        ("en", "de", "en"),
        ("xx", "de;q=oops,fr", "en"),
    ],
)
def test_the_language_is_chosen_or_accepted(chosen: str | None, accepted: str, language: str) -> None:
    assert choose_language(chosen, accepted) == language


@contextmanager
def sign_in(base: str, email: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base, timeout=30) as client:
        answer = client.post("/console/sign-in", data={"email": email, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        yield client


def csrf(client: httpx.Client) -> str:
    found = re.search(r'data-csrf="([0-9a-f]+)"', client.get("/console").text)
    assert found is not None
    return found[1]


def test_the_session_is_out_of_reach_and_ends_at_once(login: Login) -> None:
    with sign_in(login.base, login.email) as client:
        answer = client.post("/console/sign-in", data={"email": login.email, "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/"))
        assert client.get("/console").status_code == 200
        token = csrf(client)
        assert client.post("/console/sign-out", data={"csrf": "0" * 64}).headers["location"] != "/console/sign-in"
        assert client.get("/console").status_code == 200
        assert client.post("/console/sign-out", data={"csrf": token}).status_code == 303
        assert client.get("/console").headers["location"].endswith("/console/sign-in")


def test_other_sites_can_change_and_read_nothing(login: Login) -> None:
    with sign_in(login.base, login.email) as client:
        body = {"name": "other"}
        assert client.post("/api/v1/collections", json=body).status_code == 401
        assert client.post("/api/v1/collections", json=body, headers={"x-csrf-token": "0" * 64}).status_code == 401
        cross = {"x-csrf-token": csrf(client), "sec-fetch-site": "cross-site"}
        assert client.post("/api/v1/collections", json=body, headers=cross).status_code == 401
        assert client.get("/api/v1/collections", headers={"sec-fetch-site": "cross-site"}).status_code == 401
        assert client.get("/api/v1/collections", headers={"sec-fetch-site": "same-origin"}).status_code == 200
        own = {"x-csrf-token": csrf(client), "sec-fetch-site": "same-origin"}
        assert client.post("/api/v1/collections", json=body, headers=own).status_code == 201
        foreign = {"origin": "https://evil.example"}
        data = {"email": login.email, "password": PASSWORD}
        assert client.post("/console/sign-in", data=data, headers=foreign).status_code == 403


def test_the_cookie_is_no_bearer_token_and_no_token_is_a_cookie(login: Login) -> None:
    with sign_in(login.base, login.email) as client:
        (token,) = client.cookies.jar
        for bearer in (token.value, f"console:{token.value}"):
            answer = httpx.get(f"{login.base}/api/v1/auth/me", headers={"authorization": f"Bearer {bearer}"})
            assert answer.status_code == 401
    access = login.api.headers["authorization"].removeprefix("Bearer ")
    answer = httpx.get(f"{login.base}/console", cookies={token.name: access})
    assert answer.status_code == 303


def test_another_tenants_person_is_not_found(login: Login, console_base: str) -> None:
    login.api.post("/collections/default/subjects", json={"subject": "ada"})
    email = f"stranger-{login.email}"
    body = {"tenant": "Other", "email": email, "password": PASSWORD}
    assert login.api.post("/auth/signup", json=body).status_code == 201
    with sign_in(console_base, email) as client:
        answer = client.get("/console/people/default/ada")
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")


def test_a_viewer_is_offered_nothing_that_would_be_refused(login: Login) -> None:
    login.api.post("/collections/default/subjects", json={"subject": "ada"})
    email = f"viewer-{login.email}"
    user = {"email": email, "password": PASSWORD, "role": "viewer"}
    assert login.api.post("/users", json=user).status_code == 201
    with sign_in(login.base, email) as client:
        for path in ("", "/people", "/people/default/ada"):
            page = client.get(f"/console{path}").text
            assert not re.search(r"<(form|button)[^>]*data-api=", page), path


def test_a_sign_in_leads_only_to_our_own_pages(login: Login) -> None:
    with httpx.Client(base_url=login.base) as client:
        for target in ("https://evil.example/", "//evil.example", "/\\evil.example", "/console//evil.example"):
            data = {"email": login.email, "password": PASSWORD, "next": target}
            location = client.post("/console/sign-in", data=data).headers["location"]
            assert location == "/console"


def test_the_root_leads_to_the_console(console_base: str) -> None:
    assert httpx.get(f"{console_base}/").headers["location"] == "/console"
    page = httpx.get(f"{console_base}/console/sign-in")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert json.loads(re.findall(r'id="texts">(.*?)</script>', page.text)[0])["button.yes"] == "Yes"
