"""`vultus import vultus`: subjects of another tenant or server, with their embeddings."""

import json
import zipfile
from pathlib import Path

import pytest

from tests import pictures
from tests.imports.conftest import Place, Run


@pytest.fixture
def source(other: Place) -> Place:
    """Another tenant with two people, one of whom gave consent."""
    other.native.post("/collections", json={"name": "staff"}).raise_for_status()
    for subject, seed in (("ada", 1), ("bob", 2)):
        files = {"images": ("photo.jpg", pictures.photo(seed), "image/jpeg")}
        form = {"collection": "staff", "subject": subject, "consent": f"form-{subject}", "name": subject.upper()}
        other.native.post("/register", data=form, files=files).raise_for_status()
    return other


def test_subjects_come_over_the_api(run: Run, place: Place, source: Place) -> None:
    env = {"SOURCE_API_KEY": source.new_key("embeddings:read", "register")}
    options = ("--from", source.base, "--from-collection", "staff")
    dry = run("vultus", *options, "--dry-run", **env)
    assert (dry.code, dry.report["stored"]) == (0, 2), dry.err
    done = run("vultus", *options, **env)
    assert (done.code, done.report["stored"]) == (0, 2), done.err
    assert {one: (found["name"], found["consent"]["reference"]) for one, found in place.subjects().items()} == {
        "ada": ("ADA", "form-ada"),
        "bob": ("BOB", "form-bob"),
    }
    files = {"image": ("photo.jpg", pictures.photo(2, 1), "image/jpeg")}
    found = place.native.post("/recognize", data={"collection": "people"}, files=files).json()
    assert found["faces"][0]["candidates"][0]["subject"] == "bob"
    again = run("vultus", *options, **env)
    assert (again.report["stored"], again.report["known"]) == (0, 2)
    assert env["SOURCE_API_KEY"] not in done.out + done.err


def test_subjects_come_from_a_directory_and_a_zip_file(run: Run, place: Place, source: Place, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    for subject in ("ada", "bob"):
        document = source.native.get(f"/collections/staff/subjects/{subject}/export").raise_for_status().json()
        if subject == "bob":  # of a recognizer that nobody has here
            for face in document["faces"]:
                face["recognizer"] = "other:0123456789abcdef"
        (folder / f"{subject}.json").write_text(json.dumps(document))
    (folder / "broken.json").write_text("{")
    done = run("vultus", folder)
    assert done.code == 1
    assert done.reasons() == {"bob.json": "recognizer_mismatch", "broken.json": "photo_missing"}
    assert list(place.subjects()) == ["ada"]
    with zipfile.ZipFile(tmp_path / "exports.zip", "w") as archive:
        archive.write(folder / "ada.json", "people/ada.json")
    again = run("vultus", tmp_path / "exports.zip")
    assert (again.code, again.report["known"]) == (0, 1)


def test_a_source_that_is_none_is_one_line(run: Run, source: Place, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.zip").write_text("no archive")
    key = {"SOURCE_API_KEY": source.new_key("register")}
    for arguments, env in (
        ((tmp_path / "empty",), {}),
        ((tmp_path / "no.zip",), {}),
        ((), {}),
        (("--from", source.base), {}),
        (("--from", source.base, "--from-collection", "nothing"), key),
    ):
        done = run("vultus", *arguments, **env)
        assert done.code == 1, arguments
        assert len(done.err.splitlines()) == 1, done.err
    without = run("vultus", "--from", source.base, "--from-collection", "staff", **key)
    assert set(without.report["reasons"]) == {"photo_missing"}
