"""The documentation site: built strictly, no link leads nowhere, and nothing comes from outside."""

import html.parser
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from app import errors
from app.errors import problem_type
from app.main import create_app
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


class Page(html.parser.HTMLParser):
    """What a page links to, loads, and offers as anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(values.get("href", ""))
        elif tag in ("script", "img", "iframe", "source") and "src" in values:
            self.loaded.append(values["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert "excluded from the built site" not in built.stderr, built.stderr
    return directory


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_document_is_a_page(site: Path) -> None:
    for document in (ROOT / "docs").rglob("*.md"):
        page = document.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / (page if page.stem != "README" else page.with_name("index.html"))).exists(), page


def test_no_link_leads_nowhere(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin with a slash
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert sum(len(page.links) for page in pages.values()) > 1000
    assert not broken


def test_nothing_is_loaded_from_outside(site: Path, pages: dict[Path, Page]) -> None:
    outside = [
        f"{path.relative_to(site)}: {loaded}"
        for path, page in pages.items()
        for loaded in page.loaded
        if urlsplit(loaded).scheme not in ("", "data") or loaded.startswith("//")
    ]
    assert not outside
    imported = [
        path.relative_to(site).as_posix()
        for path in site.rglob("*.css")
        if re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", path.read_text())
    ]
    assert not imported


def test_each_code_has_its_anchor_in_the_reference(pages: dict[Path, Page], site: Path) -> None:
    anchors = pages[site / "reference" / "errors.html"].anchors
    codes = {problem_type(getattr(errors, name).code).partition("#")[2] for name in errors.__all__ if _is_error(name)}
    assert len(codes) > 100
    assert codes <= anchors


def test_every_route_is_in_the_api_reference(site: Path, settings: Settings) -> None:
    text = (site / "reference" / "api.html").read_text()
    for path, methods in create_app(settings).openapi()["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}".replace("{", "&#123;") in text or f"{method.upper()} {path}" in text


def _is_error(name: str) -> bool:
    one = getattr(errors, name)
    return isinstance(one, type) and issubclass(one, errors.AppError)
