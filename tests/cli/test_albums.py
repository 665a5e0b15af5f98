"""`vultus albums` against a running server: photos go in, what is bad is listed, and a selfie finds the rest."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests import pictures
from tests.cli.album_servers import DAMAGED, counts_of, make_key, wait_for, write_photos
from tests.cli.test_serve import service_env
from tests.commands import PROGRAM, Commands
from tests.servers import serving

WORKING = {"VULTUS_ALBUM_WORKER": "true"}

__all__ = ["service_env"]


class Cli:
    """Runs `vultus albums` with a key of one server."""

    def __init__(self, commands: Commands, base: str, directory: Path) -> None:
        self._commands = commands
        self.base = base
        self.key = make_key(base)
        self._directory = directory

    def run(self, command: str, *arguments: "str | Path") -> "subprocess.CompletedProcess[str]":
        env = {"VULTUS_API_KEY": self.key}
        return self._commands.run("albums", command, *arguments, "--url", self.base, env=env, directory=self._directory)


def test_an_album_from_creation_to_erasure(service_env: dict[str, str], commands: Commands, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 4)
    (photos / "notes.txt").write_text("not a photo")
    selfie = tmp_path / "selfie.jpg"
    selfie.write_bytes(pictures.photo(1, take=1))
    with serving(**service_env, **WORKING) as (base, _):
        vultus = Cli(commands, base, tmp_path)
        made = vultus.run("create", "party", "--title", "Ada and Ben", "--expected", "4", "--json")
        assert made.returncode == 0, made.stderr
        assert json.loads(made.stdout)["title"] == "Ada and Ben"
        again = vultus.run("create", "party")
        assert (again.returncode, again.stdout) == (1, "")
        assert "collection_exists" in again.stderr
        sent = vultus.run("upload", "party", photos)
        assert sent.returncode == 0, sent.stderr
        assert "4 photos sent. The album has 4 processed photos with 8 faces; 0 failed." in sent.stdout
        assert "Files left out: 1" in sent.stderr
        found = vultus.run("search", "party", selfie, "--quiet")
        assert sorted(line.split("\t")[0] for line in found.stdout.splitlines()) == ["a/0.jpg", "b/1.jpg"]
        both = vultus.run("search", "party", selfie, photos / "b" / "1.jpg", "--together", "--json")
        assert {row["photo"] for row in json.loads(both.stdout)} <= {"a/0.jpg", "b/1.jpg"}
        listed = json.loads(vultus.run("list", "--json").stdout)
        assert [(row["album"], row["done"], row["faces"]) for row in listed] == [("party", "4", "8")]
        shown = json.loads(vultus.run("show", "party", "--json").stdout)
        assert (shown["total"], shown["failed"]) == ("4", "0")
        assert vultus.run("delete", "party").returncode == 1  # nobody answers the question
        assert vultus.run("delete", "party", "--yes").returncode == 0
        missing = vultus.run("show", "party")
        assert (missing.returncode, "album_not_found" in missing.stderr) == (1, True)


def test_what_fails_is_listed_and_the_rest_is_not_sent_again(
    service_env: dict[str, str], commands: Commands, tmp_path: Path
) -> None:
    photos = write_photos(tmp_path / "photos", 3)
    (photos / "bad.jpg").write_bytes(DAMAGED)
    (photos / "empty.jpg").write_bytes(b"")
    with serving(**service_env, **WORKING) as (base, _):
        vultus = Cli(commands, base, tmp_path)
        first = vultus.run("upload", "party", photos, "--create", "--json")
        assert first.returncode == 1, first.stderr
        said = json.loads(first.stdout)
        assert (said["sent"], said["photos"]["done"], said["photos"]["failed"]) == (4, 3, 1)
        assert [(row["photo"], row["code"]) for row in said["refused"]] == [("empty.jpg", "image_empty")]
        assert [row["photo"] for row in said["failed"]] == ["bad.jpg"]
        assert said["failed"][0]["code"].startswith("image_")
        assert said["failed"][0]["detail"]
        (photos / "empty.jpg").unlink()
        (photos / "bad.jpg").write_bytes(pictures.photo(7))
        second = vultus.run("upload", "party", photos, "--json")
        assert second.returncode == 0, second.stderr
        said = json.loads(second.stdout)
        assert (said["sent"], said["skipped"], said["photos"]["done"], said["failed"]) == (1, 3, 4, [])


def test_an_upload_that_is_killed_goes_on(service_env: dict[str, str], commands: Commands, tmp_path: Path) -> None:
    count = 60
    photos = write_photos(tmp_path / "photos", count)
    with serving(**service_env) as (base, _):
        vultus = Cli(commands, base, tmp_path)
        assert vultus.run("create", "party").returncode == 0
        command = [
            str(PROGRAM),
            "albums",
            "upload",
            "party",
            str(photos),
            "--no-wait",
            "--connections",
            "1",
            "--url",
            base,
        ]
        killed = subprocess.Popen(command, env={**os.environ, "VULTUS_API_KEY": vultus.key})
        wait_for(lambda: counts_of(base, vultus.key, "party")["received"] > 3, why="nothing arrives")
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        there = counts_of(base, vultus.key, "party")["received"]
        sent = json.loads(vultus.run("upload", "party", photos, "--no-wait", "--json").stdout)
        assert there <= sent["skipped"] <= there + 1
        assert sent["sent"] == count - sent["skipped"]
        assert counts_of(base, vultus.key, "party")["received"] == count


def test_a_full_queue_is_waited_for(service_env: dict[str, str], commands: Commands, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 14)
    with serving(**service_env, **WORKING, VULTUS_MAX_WAITING_PHOTOS="8") as (base, _):
        vultus = Cli(commands, base, tmp_path)
        done = vultus.run("upload", "party", photos, "--create", "--json", "--connections", "8")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["sent"], said["photos"]["done"]) == (14, 14)


def test_a_manifest_names_the_photos(service_env: dict[str, str], commands: Commands, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 2)
    manifest = photos / "list.csv"
    manifest.write_text("photo,external_id\na/0.jpg,first\nb/1.jpg,\nmissing.jpg,gone\n")
    with serving(**service_env, **WORKING) as (base, _):
        vultus = Cli(commands, base, tmp_path)
        done = vultus.run("upload", "party", manifest, "--create", "--quiet")
        assert done.returncode == 1
        assert done.stdout.split("\t")[:3] == ["gone", "upload", "file_unreadable"]
        found = vultus.run("search", "party", photos / "a" / "0.jpg", "--quiet")
        assert {line.split("\t")[0] for line in found.stdout.splitlines()} <= {"first", "b/1.jpg"}
        manifest.write_text("photo,external_id\na/0.jpg,one\nb/1.jpg,one\n")
        twice = vultus.run("upload", "party", manifest)
        assert (twice.returncode, "line 3" in twice.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["list"], {}, "VULTUS_API_KEY"),
        (["list", "--url", "nonsense"], {"VULTUS_API_KEY": "x"}, "--url"),
        (["list"], {"VULTUS_API_KEY": "ké"}, "ASCII"),
        (["upload", "party", "nowhere"], {"VULTUS_API_KEY": "x"}, "nowhere"),
    ],
)
def test_wrong_use_is_one_line(
    commands: Commands, tmp_path: Path, arguments: list[str], env: dict[str, str], said: str
) -> None:
    done = commands.run("albums", *arguments, env=env, directory=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert said in line


def test_a_key_that_may_not_is_told_so(service_env: dict[str, str], commands: Commands, tmp_path: Path) -> None:
    with serving(**service_env, **WORKING) as (base, _):
        key = make_key(base, ["recognize"])
        done = commands.run("albums", "create", "party", "--url", base, env={"VULTUS_API_KEY": key}, directory=tmp_path)
        assert done.returncode == 1
        assert "permission_denied" in done.stderr
