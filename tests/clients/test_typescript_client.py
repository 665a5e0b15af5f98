"""The TypeScript client: it compiles strictly, and its programs work with a real server, in Node and in Chromium."""

import json
import re
import socket
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks.webhooks import Webhook

import generate_types as generate
from tests import pictures
from tests.clients.conftest import PASSWORD
from tests.clients.typescript_builds import PACKAGE, run
from tests.servers import serving
from vultus_client import Vultus

_ROOT = Path(__file__).resolve().parents[2]
_GUIDE = _ROOT / "docs" / "how-to" / "use-it-from-javascript.md"
_WRITE = "run python clients/typescript/generate_types.py"


def answer(built: Path, check: str, argument: str | Path = "", text: str | None = None, **env: str) -> Any:
    """Run one of the checks in Node and return what it prints."""
    return json.loads(run("node", built / "built" / "checks.js", check, argument, text=text, env=env))


@pytest.fixture
def env(client_server: str, api_key: str, login: tuple[str, str]) -> dict[str, str]:
    email, password = login
    return {
        "VULTUS_URL": client_server,
        "VULTUS_API_KEY": api_key,
        "VULTUS_EMAIL": email,
        "VULTUS_PASSWORD": password,
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photos of a person, and one of nobody."""
    folder = tmp_path / "photos"
    folder.mkdir()
    known, again, empty = pictures.photo(1), pictures.photo(1, 3), pictures.landscape()
    for name, photo in {"known": known, "again": again, "empty": empty}.items():
        (folder / f"{name}.jpg").write_bytes(photo)
    return folder


def test_generated_modules_are_what_the_generator_writes() -> None:
    for path, text in generate.modules().items():
        assert path.read_text() == text, f"{path.name}: {_WRITE}"


def test_the_package_has_the_version_of_the_project_and_no_dependencies() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    lock = json.loads((PACKAGE / "package-lock.json").read_text())
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    assert package["version"] == lock["version"] == project["version"]
    assert package["license"] == "MIT"
    assert "dependencies" not in package
    assert all(one.get("dev") for name, one in lock["packages"].items() if name)


def test_the_public_types_have_no_any(built: Path) -> None:
    declared = sorted((built / "node_modules" / "vultus-client" / "dist").glob("*.d.ts"))
    assert "index.d.ts" in [one.name for one in declared]
    for one in declared:
        code = re.sub(r"/\*.*?\*/|//.*|\"[^\"]*\"", "", one.read_text(), flags=re.DOTALL | re.MULTILINE)
        assert re.findall(r"\bany\b", code) == [], one.name


def test_the_client_loads_nothing_but_itself(built: Path) -> None:
    for module in (built / "node_modules" / "vultus-client" / "dist").glob("*.js"):
        loaded = re.findall(r"(?:from|import)\s*\(?\s*\"([^\"]+)\"", module.read_text())
        assert [name for name in loaded if not name.startswith("./")] == [], module.name


def test_people(built: Path, env: dict[str, str], photos: Path) -> None:
    assert answer(built, "people", photos, **env) == {
        "detected": [1] * 6,
        "templates": [0, 1],
        "recognized": [[["emp-1042", "Ada Acker"]]],
        "batch": [1, 0, "image_unreadable"],
        "verified": "match",
        "compared": 2,
        "found": ["emp-1042"],
        "metadata": {"team": 7},
        "listed": ["emp-1042"],
        "mixed": "TypeError",
        "byUrl": "ImageUrlNotAllowed",
        "erased": "subject.erased",
    }


def test_pages_are_read_to_the_end_or_as_far_as_they_are_needed(built: Path, env: dict[str, str]) -> None:
    assert answer(built, "pages", **env) == {"isComplete": True, "requests": 2, "first": "emp-000", "early": 1}


def test_an_interrupted_album_continues_and_sends_nothing_twice(
    built: Path, env: dict[str, str], folder: Path, photos: Path
) -> None:
    ids = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.jpg"))]
    found = answer(built, "album", folder, **env, SELFIE=str(photos / "known.jpg"))
    assert (found["interrupted"], found["first"]) == ("AbortError", ids[:3])
    assert (found["second"], found["skipped"]) == (ids[3:], ids[:3])
    assert found["progress"] == [[4, 6], [5, 6], [6, 6]]
    assert found["puts"] == [f"/albums/party/photos/{one}" for one in ids]
    assert found["refused"] == [["empty.jpg", "image_empty"]]
    assert (found["last"], found["done"]) == ("done", 6)
    assert found["found"] == ["a/0.jpg", "a/2.jpg", "b/1.jpg"]


def test_a_rate_limit_is_waited_for(built: Path, client_env: dict[str, str]) -> None:
    with serving(1, **client_env | {"VULTUS_PUBLIC_RATE": "2/3second"}) as (base, _):
        email = f"{uuid4().hex}@example.com"
        found = answer(built, "rate", VULTUS_URL=base, VULTUS_EMAIL=email, VULTUS_PASSWORD=PASSWORD)
    assert found["statuses"].count(201) == 3
    assert 429 in found["statuses"]
    assert found["retryAfterS"] > 0
    assert found["aborted"] == "AbortError"


def test_errors_say_what_is_wrong_and_where_the_remedy_is(built: Path, env: dict[str, str]) -> None:
    assert answer(built, "errors", **env) == {
        "missing": {"code": "subject_not_found", "status": 404, "name": "SubjectNotFound", "hasId": True},
        "isNotFound": True,
        "remedy": True,
        "invalid": [422, ["limit"]],
        "unauthorized": "TokenInvalid",
        "isLost": True,
        "twoWays": "TypeError",
    }


def test_tokens_are_obtained_once_and_replaced(built: Path, env: dict[str, str]) -> None:
    found = answer(built, "logins", **env)
    assert found == {"me": [env["VULTUS_EMAIL"]] * 3, "signIns": 1, "tokens": 2, "asked": 2}


def test_a_lost_answer_is_asked_for_again_only_where_that_does_no_harm(
    built: Path, env: dict[str, str], photos: Path
) -> None:
    found = answer(built, "repeats", photos, **env)
    assert found == {"statuses": [201, 201], "keys": 1, "issued": "ConnectionLost", "tries": 1}
    with Vultus(env["VULTUS_URL"], api_key=env["VULTUS_API_KEY"]) as vultus:
        assert [one["subject"] for one in vultus.subjects.list()] == []


def test_events_are_followed_until_the_program_has_enough(built: Path, env: dict[str, str]) -> None:
    found = answer(built, "events", **env)
    assert found["ended"] == "AbortError"
    assert found["types"] == ["subject.created emp-1", "subject.created emp-2"]


def test_requests_end_when_they_are_aborted_or_take_too_long(built: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = answer(built, "aborts", f"http://127.0.0.1:{silent.getsockname()[1]}", VULTUS_API_KEY="vk")
    assert found == {
        "reason": "Error: enough",
        "before": "Error",
        "standard": "TimeoutError",
        "timeout": "ConnectionLost",
        "deadline": "ConnectionLost",
    }


def test_messages_are_verified_as_the_reference_implementation_signs_them(built: Path) -> None:
    old, new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = json.dumps({"seq": 1, "id": "evt_1", "type": "subject.created", "timestamp": "", "data": {"name": "é"}})

    def signed(secret: str, at: datetime, signature: str | None = None) -> dict[str, str]:
        signature = signature or Webhook(secret).sign("msg_1", at, body)
        return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(int(at.timestamp())), "Webhook-Signature": signature}

    now = datetime.now(UTC)
    both = f"v1a,AAAA {Webhook(new).sign('msg_1', now, body)} {Webhook(old).sign('msg_1', now, body)}"
    good = [(old, signed(old, now), body), (old, signed(old, now, both), body), (new, signed(old, now, both), body)]
    bad = [
        (new, signed(old, now), body),
        (old, signed(old, now - timedelta(minutes=6)), body),
        (old, signed(old, now + timedelta(minutes=6)), body),
        (old, signed(old, now), body + " "),
        (old, signed(old, now, "v1,AAAA v1,%%% v2,AAAA"), body),
        (old, signed(old, now) | {"Webhook-Timestamp": "soon"}, body),
        (old, {}, body),
        ("no base64!", signed(old, now), body),
    ]
    messages = [{"secret": secret, "headers": headers, "body": sent} for secret, headers, sent in good + bad]
    found = answer(built, "webhooks", text=json.dumps(messages))
    assert found == ["subject.created"] * 4 * len(good) + ["refused"] * 4 * len(bad)


def test_the_example_says_who_appears_when_in_a_video(built: Path, env: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("av", reason="videos need the extra `video`")
    from tests.videos import Part, film

    with Vultus(env["VULTUS_URL"], api_key=env["VULTUS_API_KEY"]) as vultus:
        vultus.collections.create("staff")
        vultus.register("emp-1", pictures.photo(1), name="Ada Acker", collection="staff")
    video = tmp_path / "opening.mp4"
    video.write_bytes(film([Part(1, 0, 2), Part(2, 2, 4, from_x=450, to_x=450)], 4))
    for _ in range(2):  # sent again, it is the same video
        printed = run("node", built / "video_platform.mjs", "opening", video, "staff", env=env)
        known, unknown = sorted(printed.splitlines())
        assert re.fullmatch(r"Ada Acker: 0:00-0:0[12]", known)
        assert re.fullmatch(r"unknown [12]: 0:02-0:0[34]", unknown)


def test_the_guide_runs_as_printed(built: Path, client_server: str, tmp_path: Path) -> None:
    demo = tmp_path / "data" / "demo"
    demo.mkdir(parents=True)
    (demo / "person.jpg").write_bytes(pictures.photo(1))
    (demo / "group.jpg").write_bytes(pictures.group(1, 2))
    blocks = re.findall(r"^```js\n(.*?)^```", _GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    program = "\n".join([*blocks, 'console.log(await receive("c2VjcmV0", {}, "{}"));'])
    assert "app@example.com" in program
    program = program.replace("app@example.com", f"{uuid4().hex}@example.com")
    (built / "guide.mjs").write_text(program.replace("http://127.0.0.1:8000", client_server))
    assert run("node", built / "guide.mjs", directory=tmp_path).splitlines() == [
        "emp-1042 Ada Acker",
        f"subject_not_found 404 {client_server}/docs/errors#subject_not_found",
        "emp-1042 Ada Acker",
        "2 0 group.jpg,person.jpg",
        "400",
    ]
