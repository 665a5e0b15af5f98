"""The tutorial of the client and the examples run as they are printed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests import pictures
from vultus_client import Vultus

_ROOT = Path(__file__).resolve().parents[2]
_TUTORIAL = (_ROOT / "docs" / "tutorial" / "use-it-from-your-app.md").read_text()
_BLOCKS = re.findall(r"^```python\n(.*?)^```", _TUTORIAL, re.MULTILINE | re.DOTALL)


def run(*command: str | Path, directory: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python program that finds the client."""
    env["PYTHONPATH"] = str(_ROOT / "clients" / "python")
    words = [sys.executable, "-W", "error", *map(str, command)]
    return subprocess.run(words, env=env, cwd=directory, capture_output=True, text=True, timeout=120, check=False)


def test_the_first_request_takes_at_most_15_lines() -> None:
    assert 0 < len(_BLOCKS[0].splitlines()) <= 15


def test_the_tutorial_runs_as_printed(client_server: str, tmp_path: Path) -> None:
    demo = tmp_path / "data" / "demo"
    demo.mkdir(parents=True)
    (demo / "person.jpg").write_bytes(pictures.photo(1))
    (demo / "group.jpg").write_bytes(pictures.group(1, 2))
    call = '\nprint(receive("c2VjcmV0", {}, b"{}"))\n'
    program = "\n".join(_BLOCKS) + call
    assert "app@example.com" in program
    program = program.replace("app@example.com", f"{uuid4().hex}@example.com")
    done = run("-c", program.replace("http://127.0.0.1:8000", client_server), directory=tmp_path)
    assert done.returncode == 0, done.stderr
    first, permissions, missing, *rest = done.stdout.splitlines()
    assert first == "emp-1042 Ada Acker"
    assert "recognize" in permissions
    assert missing.startswith("subject_not_found ")
    assert rest == ["emp-1042 Ada Acker", "2 ['person.jpg', 'group.jpg']", "1", "400"]


def test_the_program_of_the_readme_runs_as_printed(client_server: str, login: tuple[str, str], tmp_path: Path) -> None:
    demo = tmp_path / "data" / "demo"
    demo.mkdir(parents=True)
    (demo / "person.jpg").write_bytes(pictures.photo(1))
    (demo / "group.jpg").write_bytes(pictures.group(1, 2))
    (block,) = re.findall(r"^```python\n(.*?)^```", (_ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    program = block.replace("ada@example.com", login[0]).replace("http://127.0.0.1:8000", client_server)
    done = run("-c", program + "\nprint(len(faces))", directory=tmp_path)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


@pytest.mark.parametrize(
    ("subject", "picture", "status", "reason"),
    [
        ("ada", pictures.photo(1, 1), 0, "open"),
        ("ada", pictures.photo(2), 1, "somebody else"),
        ("eve", pictures.photo(1), 1, "this badge belongs to nobody"),
        ("ada", pictures.landscape(), 2, "take another photo: no_face"),
        ("ada", b"no photo", 2, "take another photo: image_unreadable"),
    ],
)
def test_the_entrance(
    client_server: str, api_key: str, tmp_path: Path, subject: str, picture: bytes, status: int, reason: str
) -> None:
    with Vultus(client_server, api_key=api_key) as vultus:
        vultus.register("ada", pictures.photo(1))
    photo = tmp_path / "camera.jpg"
    photo.write_bytes(picture)
    env = {"VULTUS_URL": client_server, "VULTUS_API_KEY": api_key}
    done = run(_ROOT / "examples" / "entrance.py", subject, photo, directory=tmp_path, **env)
    assert (done.returncode, done.stdout.strip()) == (status, reason), done.stderr


def test_the_photos_of_an_event(client_server: str, api_key: str, folder: Path, tmp_path: Path) -> None:
    (folder / "a" / "empty.jpg").touch()
    selfie = tmp_path / "selfie.jpg"
    selfie.write_bytes(pictures.photo(1, 1))
    example = _ROOT / "examples" / "event_photos.py"
    env = {"VULTUS_URL": client_server, "VULTUS_API_KEY": api_key}
    shutil.move(folder / "b", tmp_path / "later")
    first = run(example, "party", folder, selfie, directory=tmp_path, **env)
    assert first.returncode == 0, first.stderr
    assert first.stderr.splitlines() == ["3 sent, 0 sent before, 1 refused", "a/empty.jpg: image_empty"]
    shutil.move(tmp_path / "later", folder / "b")
    again = run(example, "party", folder, selfie, directory=tmp_path, **env)
    assert again.stderr.splitlines()[0] == "3 sent, 3 sent before, 1 refused"
    assert sorted(again.stdout.split()) == ["a/0.jpg", "a/2.jpg", "b/1.jpg"]
