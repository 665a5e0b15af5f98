"""`vultus import folder`, `csv` and `rekognition`: what is on the disk or in S3 gets into a collection, once."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from tests import pictures
from tests.commands import PROGRAM
from tests.imports.conftest import Place, Run


def test_a_folder_for_each_person(run: Run, place: Place, album: Path) -> None:
    done = run("folder", album)
    assert done.code == 1
    assert "4 photos stored, 0 known, 2 people, 3 left out." in done.out
    assert done.reasons() == {"bob/lake.jpg": "no_face", "bob/notes.txt": "no_photo", "alone.jpg": "no_subject"}
    subjects = place.subjects()
    assert {one: (found["name"], found["templates"]) for one, found in subjects.items()} == {
        "Ada::20Löwe": ("Ada Löwe", 2),
        "bob": (None, 2),
    }
    assert {face["external_image_id"] for face in place.faces()} == {
        f"{name}/{take}.jpg" for name in ("Ada Löwe", "bob") for take in range(2)
    }
    again = run("folder", album)
    assert "0 photos stored, 4 known" in again.out
    assert len(place.faces()) == 4


def test_a_dry_run_sends_nothing(run: Run, place: Place, album: Path) -> None:
    done = run("folder", album, "--dry-run", VULTUS_API_KEY="")
    assert done.code == 1
    assert "5 photos to store, 0 known, 2 people, 2 left out." in done.out
    assert done.report["dry_run"] is True
    assert [one["name"] for one in place.native.get("/collections").json()["items"]] == ["default"]


def test_consent_and_the_largest_face(run: Run, place: Place, tmp_path: Path) -> None:
    place.native.post("/collections", json={"name": "people"})
    place.native.put("/policy", json={"consent_required": True}).raise_for_status()
    (tmp_path / "album" / "ada").mkdir(parents=True)
    (tmp_path / "album" / "ada" / "both.jpg").write_bytes(pictures.group(1, 2))
    refused = run("folder", tmp_path / "album")
    assert refused.reasons() == {"ada/both.jpg": "several_faces"}
    refused = run("folder", tmp_path / "album", "--face", "largest")
    assert refused.reasons() == {"ada/both.jpg": "consent_required"}
    done = run("folder", tmp_path / "album", "--face", "largest", "--consent", "form-7")
    assert (done.code, done.report["stored"]) == (0, 1)
    assert place.subjects()["ada"]["consent"]["reference"] == "form-7"


def test_what_is_done_is_not_sent_again(run: Run, place: Place, album: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    assert run("folder", album, "--progress", ledger).report["stored"] == 4
    before = ledger.read_text()
    for face in place.faces():  # the server forgot them, the ledger did not
        subject = next(one for one in place.subjects() if one.startswith(face["external_image_id"][:3]))
        place.native.delete(f"/collections/people/subjects/{subject}/faces/{face['face_id']}").raise_for_status()
    again = run("folder", album, "--progress", ledger)
    assert (again.report["stored"], again.report["known"]) == (0, 4)
    assert place.faces() == []
    assert ledger.read_text() == before
    other = run("folder", album / "bob", "--progress", ledger)
    assert other.code == 1
    assert "belongs to another import" in other.err


def test_an_import_goes_on_after_a_kill(run: Run, place: Place, tmp_path: Path) -> None:
    for person in range(20):
        (tmp_path / "album" / f"p{person}").mkdir(parents=True)
        (tmp_path / "album" / f"p{person}" / "0.jpg").write_bytes(pictures.photo(100 + person))
    ledger = tmp_path / "ledger"
    command = [PROGRAM, "import", "folder", tmp_path / "album", "--collection", "people", "--url", place.base]
    command += ["--threads", "1", "--progress", ledger]
    process = subprocess.Popen([*map(str, command)], env={**os.environ, "VULTUS_API_KEY": place.key})
    deadline = time.monotonic() + 60
    while not ledger.exists() or len(ledger.read_text().splitlines()) < 4:
        assert time.monotonic() < deadline, "the import did not begin"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    recorded = len(ledger.read_text().splitlines()) - 1
    done = run("folder", tmp_path / "album", "--progress", ledger)
    assert done.code == 0, done.err
    assert done.report["stored"] + done.report["known"] == 20
    assert done.report["known"] >= recorded
    assert sorted(face["external_image_id"] for face in place.faces()) == sorted(f"p{n}/0.jpg" for n in range(20))


@pytest.mark.parametrize("is_json", [False, True])
def test_a_manifest(run: Run, place: Place, album: Path, is_json: bool) -> None:
    rows = [
        ("Ada Löwe/0.jpg", "ada", "their-7"),
        ("bob/0.jpg", "Bob Ross", ""),
        ("", "cid", ""),
        ("missing.jpg", "ada", ""),
        ("bob/1.jpg", "", ""),
        ("bob/1.jpg", "a\u200bb", ""),
    ]
    manifest = album / ("manifest.jsonl" if is_json else "manifest.csv")
    if is_json:
        names = ("photo", "subject", "external_image_id")
        manifest.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    else:
        manifest.write_text("photo,subject,external_image_id\n" + "".join(",".join(row) + "\n" for row in rows))
    done = run("csv", manifest)
    number = 5 if is_json else 6
    assert done.reasons() == {
        "ada: missing.jpg": "photo_missing",
        f"line {number}": "no_subject",
        "a\u200bb": "name_not_possible",
    }
    assert {one: found["templates"] for one, found in place.subjects().items()} == {
        "ada": 1, "Bob::20Ross": 1, "cid": 0,
    }  # fmt: skip
    assert {face["external_image_id"] for face in place.faces()} == {"their-7", None}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", ""), ("m.csv", "photo\nx.jpg\n"), ("m.csv", "photo,subject,typo\n"), ("m.jsonl", "{"),
        ("m.jsonl", "[]"), ("m.jsonl", '{"photo": "a", "subject": "b", "typo": "c"}'), ("m.jsonl", '{"photo": 7}'),
        ("m.jsonl", ""), ("none.csv", None),
    ],
)  # fmt: skip
def test_a_manifest_that_is_none_is_one_line(run: Run, tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    done = run("csv", tmp_path / name)
    assert (done.code, done.report) == (1, {})
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("vultus: ")


def test_a_key_that_may_not_register_ends_the_import(run: Run, place: Place, album: Path) -> None:
    done = run("folder", album, VULTUS_API_KEY=place.new_key("recognize"))
    assert done.code == 1
    assert "permission_denied" in done.err


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an S3 server with a bucket `photos`."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host if host != '0.0.0.0' else '127.0.0.1'}:{port}"
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="reader",
        aws_secret_access_key="secret",
        config=Config(s3={"addressing_style": "path"}),
    )
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="staff/ada löwe.jpg", Body=pictures.photo(1))
    s3.put_object(Bucket="photos", Key="other/bob.jpg", Body=pictures.photo(2))
    s3.close()
    yield endpoint
    server.stop()


def test_photos_of_rekognition_come_from_s3(run: Run, place: Place, bucket: str, tmp_path: Path) -> None:
    manifest = tmp_path / "faces.csv"
    manifest.write_text(
        "external_image_id,subject,photo\nada:1,user-ada,ada löwe.jpg\n"
        "bob:1,user-bob,s3://photos/other/bob.jpg\neve:1,user-eve,eve.jpg\n"
    )
    login = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "secret"}
    done = run("rekognition", manifest, "--photos", "s3://photos/staff", "--store-endpoint", bucket, **login)
    assert done.reasons() == {"user-eve: eve.jpg": "photo_missing"}
    assert {face["external_image_id"]: face["subject"] for face in place.faces()} == {
        "ada:1": "user-ada",
        "bob:1": "user-bob",
    }


def test_photos_of_rekognition_come_from_a_directory(run: Run, place: Place, album: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "faces.jsonl"
    manifest.write_text('{"external_image_id": "b", "subject": "bob", "photo": "bob/0.jpg"}\n')
    done = run("rekognition", manifest, "--photos", album)
    assert (done.code, done.report["stored"]) == (0, 1), done.err
    assert [face["external_image_id"] for face in place.faces()] == ["b"]
