"""Hooks of the documentation site: add what lies outside `docs/`, and let links lead to it.

Documents link to each other and to the repository's files, as they do on a forge. The site has the documents at the top
as pages, and every other linked file as it is. It also has pages that are made here: the decisions' index, the routes.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT))

from mkdocs.structure.files import File, Files

from app.main import create_app
from app.settings import Settings

TOP = {
    "README.md": "project/readme.md",
    "PERFORMANCE.md": "project/performance.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
}
"""The documents at the top of the repository, and the pages that show them."""

FOLDERS = {"tutorial": "Tutorial", "how-to": "How-to", "reference": "Reference", "explanation": "Explanation"}
API, DECISIONS = "reference/api.md", "decisions/index.md"
_API_HEAD = """\
# REST API

Every route. A running server has all parameters and answers at `/docs` (Swagger UI) and `/openapi.json`.
[Permissions](permissions.md) says what each route needs, [error codes](errors.md) what it refuses.
"""
_LINK = re.compile(r"(?P<before>\]\(|^\[[^\]]+\]:\s+)(?P<target>[^)\s#]*)(?P<rest>#[^)\s]*)?", re.MULTILINE)
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """Order the pages: each folder as the index lists them, then what it does not list."""
    listed = [target for _, target, _ in _links((DOCS / "README.md").read_text())]
    nav: list[Any] = ["README.md"]
    for folder, title in FOLDERS.items():
        found = sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / folder).glob("*.md"))
        found += [API] if folder == "reference" else []
        nav.append({title: sorted(found, key=lambda one: listed.index(one) if one in listed else len(listed))})
    decisions = sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / "decisions").glob("*.md"))
    nav += [{"Decisions": [DECISIONS, *decisions]}, {"Project": list(TOP.values())}]
    config["nav"] = nav
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here, the documents at the top, and every linked file."""
    for name, page in TOP.items():
        files.append(_generate(config, page, (ROOT / name).read_text()))
    files.append(_generate(config, DECISIONS, _index_decisions()))
    files.append(_generate(config, API, _list_routes()))
    linked = {target for source, text in _documents() for target in _outside(source, text)}
    for path in sorted(linked):
        files.append(File.generated(config, _page_of(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    source = _source_of(page.file.src_uri)
    if source is None:
        return markdown
    here = Path(page.file.src_uri).parent

    def to_page(found: re.Match[str]) -> str:
        path = _resolve(source, found["target"])
        if path is None:
            return found[0]
        return f"{found['before']}{os.path.relpath(_page_of(path), here)}{found['rest'] or ''}"

    parts, position = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(to_page, markdown[position : fence.start()]), fence[0]]
        position = fence.end()
    return "".join([*parts, _LINK.sub(to_page, markdown[position:])])


def _generate(config: Any, uri: str, text: str) -> File:
    return File.generated(config, uri, content=text)


def _documents() -> Iterator[tuple[Path, str]]:
    for path in [*(ROOT / name for name in TOP), *sorted(DOCS.rglob("*.md"))]:
        yield path, path.read_text()


def _links(text: str) -> Iterator[tuple[str, str, str]]:
    for found in _LINK.finditer(_FENCE.sub("", text)):
        yield found["before"], found["target"], found["rest"] or ""


def _resolve(source: Path, target: str) -> str | None:
    """Return a link's path in the repository; None if it leads elsewhere or to nothing."""
    if not target or "://" in target or target.startswith(("mailto:", "/")):
        return None
    path = Path(os.path.normpath(source.parent / target))
    return path.relative_to(ROOT).as_posix() if path.exists() and path.is_relative_to(ROOT) else None


def _outside(source: Path, text: str) -> Iterator[str]:
    """Yield the files that a document links to and that are no pages of the site."""
    for _, target, _ in _links(text):
        path = _resolve(source, target)
        if path is not None and path not in TOP and not path.startswith("docs/") and (ROOT / path).is_file():
            yield path


def _source_of(uri: str) -> Path | None:
    """Return the file that a page shows; None for one that is made here."""
    for name, page in TOP.items():
        if uri == page:
            return ROOT / name
    return DOCS / uri if (DOCS / uri).exists() else None


def _page_of(path: str) -> str:
    """Return the site's path of a file or directory of the repository."""
    if path in TOP:
        return TOP[path]
    if path == "docs/decisions":
        return DECISIONS
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    # A site has no files whose name begins with a dot.
    return "files/" + re.sub(r"(^|/)\.", r"\1", path)


def _index_decisions() -> str:
    lines = ["# Decision records", "", "Why things are as they are: context, decision, consequences.", ""]
    for path in sorted((DOCS / "decisions").glob("*.md")):
        text = path.read_text()
        title = text.splitlines()[0].removeprefix("# ")
        status = re.search(r"^Status: (.+)$", text, re.MULTILINE)
        lines.append(f"- [{title}]({path.name}): {status[1] if status else ''}")
    return "\n".join(lines) + "\n"


def _list_routes() -> str:
    """Return a page with every route of the REST API, by tag, from the OpenAPI document."""
    document = create_app(Settings(_env_file=None)).openapi()
    by_tag: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            row = f"| `{method.upper()} {path}` | {operation['summary']} |"
            by_tag.setdefault(operation["tags"][0], []).append(row)
    texts = {tag["name"]: tag["description"] for tag in document["tags"]}
    parts = [_API_HEAD]
    for tag, rows in by_tag.items():
        if rows:
            parts.append(f"\n## {tag.capitalize()}\n\n{texts.get(tag, '')}\n\n| route | what it does |\n|---|---|\n")
            parts.append("\n".join(rows) + "\n")
    return "".join(parts)
