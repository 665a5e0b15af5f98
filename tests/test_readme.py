"""The README is true: its walk is what a request runs through, and its commands run as printed, with these answers."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import pytest

from app.settings import Settings
from tests import pictures
from tests.api.conftest import PASSWORD, Account, sign_in, start
from tests.commands import Commands
from tests.servers import serving

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorial" / "recognize-your-first-person.md").read_text()

_SHELL = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Trace:
    """The functions of `app/` that were called while it was on: file and qualified name, constructors left out."""

    def __init__(self) -> None:
        self.called: list[tuple[str, str]] = []
        self.is_on = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        file, function = frame.f_code.co_filename, frame.f_code.co_qualname
        if not self.is_on or event != "call" or function.endswith("__init__"):
            return
        if file.startswith(str(ROOT / "app")):
            self.called.append((Path(file).relative_to(ROOT).as_posix(), function))

    @contextmanager
    def in_new_threads(self) -> Iterator[None]:
        """Trace the threads that start in the block, and this one while `is_on`."""
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def first(self, file: str, begin: str) -> int | None:
        """When a function or a method of a class was first called; None: never."""
        for index, (path, function) in enumerate(self.called):
            if path == file and (function == begin or function.startswith(f"{begin}.")):
                return index
        return None


async def test_the_walk_is_what_one_request_runs_through(settings: Settings) -> None:
    table = README.split("### The walk of `POST /recognize`")[1].split("\n## ")[0]
    walk = re.findall(r"^\| [^|`]+ \| `([^`]+)` \| `([^`]+)` \|$", table, re.MULTILINE)
    assert 8 <= len(walk) <= 12
    trace = Trace()
    with trace.in_new_threads():  # the inference pool's threads start with the app
        async with AsyncExitStack() as stack:
            running = await start(settings, stack)
            email = f"{uuid4().hex}@example.com"
            anonymous = await stack.enter_async_context(running.client())
            created = await anonymous.post("/auth/signup", json={"tenant": "A", "email": email, "password": PASSWORD})
            tokens = await sign_in(anonymous, email)
            client = await stack.enter_async_context(running.client(tokens["access_token"]))
            account = Account(client, created.json()["tenant_id"], email, tokens)
            assert (await account.register("ada", pictures.photo(1))).status_code == 201
            trace.is_on = True
            answer = await account.send("/recognize", pictures.photo(1))
            trace.is_on = False
            assert answer.status_code == 200
    order = {step: trace.first(*step) for step in walk}
    found = [first for first in order.values() if first is not None]
    assert len(found) == len(walk), order
    assert found == sorted(found), order


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="needs curl and bash")
def test_the_commands_of_readme_and_tutorial_run_as_printed(
    tmp_path: Path, synthetic_pack: Path, commands: Commands
) -> None:
    data = tmp_path / "data"
    shutil.copytree(synthetic_pack, data / "models" / synthetic_pack.name)
    env = {"VULTUS_MODEL_PACK": "synthetic", "VULTUS_DATA_DIR": str(data), "VULTUS_LOG_LEVEL": "warning"}
    made = commands.run("demo", env=env, directory=tmp_path)  # what `make run` does before it serves
    assert made.returncode == 0, made.stderr
    with serving(**env, VULTUS_ALBUM_WORKER="true") as (base, _):
        first_screen = run_blocks([block for block in _SHELL.findall(README) if "curl " in block], base, tmp_path)
        steps = run_blocks([block for block in _SHELL.findall(TUTORIAL) if "make run" not in block], base, tmp_path)
    check_first_screen(*first_screen[:3])
    check_album(*first_screen[3:])
    _, registered, recognized, verified, receipt = steps
    assert len(registered["templates"]) == 1
    assert [face["candidates"][0]["decision"] for face in recognized["faces"]].count("match") == 1
    assert verified["decision"] == "match"
    assert receipt["receipt"]["action"] == "subject.erased"


def check_first_screen(_: Any, registered: Any, recognized: Any) -> None:
    """The answers are those that the README prints."""
    assert registered["subject"] == "emp-1042"
    assert len(registered["templates"]) == 1
    printed = json.loads(_JSON.findall(README)[0])
    (printed_face,) = printed.pop("faces")
    assert_shows(printed, recognized)
    matches = [face for face in recognized["faces"] if face["candidates"][0]["decision"] == "match"]
    assert len(matches) == 1
    assert len(recognized["faces"]) > 1
    assert_shows(printed_face, matches[0])


def check_album(created: Any, *rest: Any) -> None:
    *received, counted, found = rest
    assert created["id"] == "party"
    assert sorted(photo["external_id"] for photo in received) == ["group.jpg", "person.jpg"]
    assert (counted["photos"]["done"], counted["photos"]["failed"]) == (2, 0)
    assert sorted(photo["external_id"] for photo in found["items"]) == ["group.jpg", "person.jpg"]


def run_blocks(blocks: list[str], base: str, directory: Path) -> list[Any]:
    """Run shell blocks in one bash, as printed but for the server's address; the JSON documents they print."""
    assert blocks
    script = "\n".join(blocks).replace("http://127.0.0.1:8000", base)
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    documents, rest = [], done.stdout.strip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        documents.append(document)
        rest = rest[end:].strip()
    return documents


def assert_shows(printed: Any, answered: Any) -> None:
    """What is printed is part of the answer; measured numbers may differ a little from one processor to another."""
    if isinstance(printed, dict):
        for key, value in printed.items():
            assert key in answered
            if key == "false_match_rate" and value < 1e-3:  # a rate that is extrapolated goes with every digit
                assert 0 < answered[key] < 1e-3
            else:
                assert_shows(value, answered[key])
    elif isinstance(printed, list):
        for one, other in zip(printed, answered, strict=True):
            assert_shows(one, other)
    elif isinstance(printed, float):
        assert answered == pytest.approx(printed, abs=max(0.02, 0.03 * abs(printed)))
    else:
        assert answered == printed
