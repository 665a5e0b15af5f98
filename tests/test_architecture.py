"""The house rules that a tool can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "app").rglob("*.py")) + sorted((ROOT / "migrations").rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_import_directions() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports")]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), name(path)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_no_room_is_named_after_nothing() -> None:
    for path in SOURCES:
        assert not {"utils", "helpers", "common", "core"} & set(path.with_suffix("").parts[len(ROOT.parts) :])


def test_tenant_id_enters_queries_in_one_place() -> None:
    allowed = {
        "app/persistence/repositories/base.py",
        "app/matcher/statements.py",
    }
    enters = re.compile(r"tenant_id\s*==|tenant_id = [:$]|filter_by\(")
    sources = [path for path in SOURCES if path.is_relative_to(ROOT / "app")]
    assert {name(path) for path in sources if enters.search(path.read_text())} == allowed


def test_the_words_of_the_house_are_used() -> None:
    """One word per idea, in code and in routes; see the glossary in the README."""
    unwanted = re.compile(r"\b(gallery_id|descriptor|encodings?|confidence|identities_table)\b")
    for path in (ROOT / "app" / "routes").rglob("*.py"):
        assert not unwanted.search(path.read_text()), name(path)


def test_no_line_speaks_of_another_machine() -> None:
    pattern = re.compile(r"/root/|/home/\w+/|/work/")
    files = [*SOURCES, ROOT / "Makefile", ROOT / "README.md", ROOT / "pyproject.toml", *ROOT.glob("docs/**/*.md")]
    for path in files:
        assert not pattern.search(path.read_text()), name(path)
