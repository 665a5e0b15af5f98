"""`vultus import photos`: what is on the disk gets into a collection, once."""

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.photo_manifest import read_photos
from tests import pictures
from tests.commands import Commands
from tests.rekognition.conftest import REGION, Tenant

BringIn = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def bring_in(commands: Commands) -> BringIn:
    """Runs the command with the access key of a tenant."""

    def run(tenant: Tenant, *arguments: str | Path, endpoint: str | None = None) -> "subprocess.CompletedProcess[str]":
        keys = {"AWS_ACCESS_KEY_ID": tenant.access_key_id, "AWS_SECRET_ACCESS_KEY": tenant.secret}
        where = ("--collection", "people", "--endpoint", endpoint or f"{tenant.base}/rekognition", "--region", REGION)
        return commands.run("import", "photos", *arguments, *where, env=keys)

    return run


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two people with two photos each, and one photo without anybody."""
    for name, seed in (("Ada Löwe", 1), ("bob", 2)):
        (tmp_path / "album" / name).mkdir(parents=True)
        for take in range(2):
            (tmp_path / "album" / name / f"{take}.jpg").write_bytes(pictures.photo(seed, take))
    (tmp_path / "album" / "lake.JPG").write_bytes(pictures.landscape())
    (tmp_path / "album" / "notes.txt").write_text("no photo")
    return tmp_path / "album"


def test_a_directory_with_a_folder_a_person(bring_in: BringIn, tenant: Tenant, album: Path, tmp_path: Path) -> None:
    report, client = tmp_path / "report.csv", tenant.client()
    for _ in range(2):  # the second time nothing is stored again
        done = bring_in(tenant, album, "--users", "--report", report)
        assert done.returncode == 1, done.stderr
        assert "5 photos: 4 faces indexed, 2 users, 1 failed." in done.stdout
        assert "Files left out: 1, whose endings are not those of photos: 1 .txt." in done.stderr
        described = client.describe_collection(CollectionId="people")
        assert (described["FaceCount"], described["UserCount"]) == (4, 2)
    with report.open() as file:
        rows = [(Path(row["what"]).name, row["reason"]) for row in csv.DictReader(file)]
    assert rows == [("lake.JPG", "NO_FACE"), ("notes.txt", "left out")]
    faces = client.list_faces(CollectionId="people")["Faces"]
    users = {face["UserId"] for face in faces}
    assert len(users) == 2
    assert {re.sub("-[0-9a-f]{8}$", "", user) for user in users} == {"Ada_Löwe", "bob"}
    externals = {re.sub("-[0-9a-f]{8}$", "", face["ExternalImageId"]) for face in faces}
    assert externals == {"Ada_L_we:0", "Ada_L_we:1", "bob:0", "bob:1"}


def test_no_two_folders_become_one_person(tmp_path: Path) -> None:
    names = ["Юрий", "Ольга", "José", "Josù", "a b", "a_b", "a/x", "b/x", ".hidden", "-x", "n" * 200, "n" * 199 + "m"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.jpg").write_bytes(b"")
    photos = read_photos(tmp_path, with_users=True)
    assert len({photo.user_id for photo in photos}) == len(names)
    assert len({photo.external_image_id for photo in photos}) == len(names)
    for photo in photos:
        assert re.fullmatch(r"\w[\w.:@+\-]{0,127}", photo.user_id or "")
        assert re.fullmatch(r"[a-zA-Z0-9_.\-:]{1,255}", photo.external_image_id or "")
    assert {"Юрий", "Ольга", "José", "a_b"} <= {photo.user_id for photo in photos}


def test_a_manifest_says_which_ids(bring_in: BringIn, tenant: Tenant, album: Path) -> None:
    manifest = album / "manifest.csv"
    manifest.write_text("photo,external_image_id,user_id\nbob/0.jpg,their-id-7,user:7\nbob/1.jpg,,\n")
    done = bring_in(tenant, manifest)
    assert done.returncode == 0, done.stderr
    faces = tenant.client().list_faces(CollectionId="people")["Faces"]
    assert {(face.get("ExternalImageId"), face.get("UserId")) for face in faces} == {
        ("their-id-7", "user:7"),
        (None, None),
    }


def test_what_is_wrong_is_said(bring_in: BringIn, tenant: Tenant, album: Path, tmp_path: Path) -> None:
    assert "neither a directory nor a manifest" in bring_in(tenant, tmp_path / "nowhere").stderr
    (tmp_path / "empty").mkdir()
    assert "contains no photos" in bring_in(tenant, tmp_path / "empty").stderr
    wrong = Tenant(tenant.base, tenant.id, tenant.native, tenant.access_key_id, "x" * 40, tenant.closing)
    refused = bring_in(wrong, album)
    assert refused.returncode == 1
    assert "InvalidSignatureException" in refused.stderr
    assert "x" * 40 not in refused.stderr


def test_the_report_says_why_a_photo_was_refused(bring_in: BringIn, tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "paper.jpg").write_bytes(b"%PDF-1.7 ...")
    report = tmp_path / "failed.csv"
    bring_in(tenant, tmp_path / "photos", "--report", report)
    with report.open() as file:
        (row,) = csv.DictReader(file)
    assert row["reason"] == "InvalidImageFormatException"
    assert "PDF" in row["message"]


def test_an_endpoint_that_is_no_address_is_named(bring_in: BringIn, tenant: Tenant, album: Path) -> None:
    done = bring_in(tenant, album, endpoint="vultus.test")
    assert done.returncode == 1
    assert "--endpoint vultus.test:" in done.stderr
    assert "Traceback" not in done.stderr
