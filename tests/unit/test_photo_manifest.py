"""Which photos a migration reads, and what it is told of them."""

from pathlib import Path

import pytest

from app.cli.migration_ledger import Ledger
from app.cli.photo_manifest import PhotoOfSubject, describe_left_out, list_left_out, read_subject_photos, split_store
from app.errors import OperatorError
from app.services.maintenance.model_migration import SourcePhoto
from tests import pictures


def test_a_directory_is_read_with_its_folders_as_subjects_or_without(tmp_path: Path) -> None:
    for name in ("ada/1.jpg", "ada/holidays/2.JPG", "bob/3.png", "4.webp", "ada/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    flat = read_subject_photos(tmp_path, with_subjects=False)
    assert {Path(one.photo).name for one in flat} == {"1.jpg", "2.JPG", "3.png", "4.webp"}
    assert {one.subject for one in flat} == {None}
    named = {Path(one.photo).name: one.subject for one in read_subject_photos(tmp_path, with_subjects=True)}
    assert named == {"1.jpg": "ada", "2.JPG": "ada", "3.png": "bob", "4.webp": None}


def test_a_manifest_names_photos_beside_it_and_in_a_store(tmp_path: Path) -> None:
    manifest = tmp_path / "photos.csv"
    manifest.write_text("photo,subject\n1.jpg,ada\ns3://staff/a b/2.jpg,\n", encoding="utf-8-sig")
    assert read_subject_photos(manifest, with_subjects=False) == [
        PhotoOfSubject(str(tmp_path / "1.jpg"), "ada"),
        PhotoOfSubject("s3://staff/a b/2.jpg", None),
    ]
    assert split_store("s3://staff/a b/2.jpg") == ("staff", "a b/2.jpg")
    manifest.write_text("Photo , SUBJECT\n 1.jpg, ada \n\n")
    assert read_subject_photos(manifest, with_subjects=False) == [PhotoOfSubject(str(tmp_path / "1.jpg"), "ada")]


def test_a_photo_has_one_name_wherever_the_command_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for disk in ("a", "b"):
        (tmp_path / disk / "photos").mkdir(parents=True)
        (tmp_path / disk / "photos" / "1.jpg").touch()
    seen = set()
    for disk in ("a", "b", "a"):
        monkeypatch.chdir(tmp_path / disk)
        (one,) = read_subject_photos(Path("photos"), with_subjects=False)
        seen.add(one.photo)
    assert seen == {str(tmp_path / disk / "photos" / "1.jpg") for disk in ("a", "b")}


def test_what_is_neither_is_said(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(pictures.photo(1))
    (tmp_path / "latin.csv").write_bytes("photo\nm\xfcller.jpg\n".encode("latin-1"))
    (tmp_path / "other.csv").write_text("file;subject\n1.jpg;ada\n")
    (tmp_path / "nul.csv").write_text("photo\n1\0.jpg\n")
    (tmp_path / "quote.csv").write_text('photo\n"' + "x" * 200_000)
    (tmp_path / "misspelt.csv").write_text("photo,people\n1.jpg,ada\n")
    (tmp_path / "wide.csv").write_text("photo,subject\n1.jpg,ada,bob\n")
    (tmp_path / "twice.csv").write_text("photo,Photo\n1.jpg,2.jpg\n")
    for name, with_subjects, said in (
        ("nowhere", False, "neither a directory nor a manifest"),
        ("latin.csv", False, "not a CSV file in UTF-8"),
        ("other.csv", False, "separated by commas"),
        ("other.csv", True, "not a directory"),
        (".", True, "no folders"),
        ("nul.csv", False, "line 2, column photo: control characters"),
        ("quote.csv", False, "field larger than"),
        ("misspelt.csv", False, "unknown columns: people. Allowed columns are photo, subject"),
        ("wide.csv", False, "line 2: more values than columns"),
        ("twice.csv", False, "more than once"),
        ("folder.csv/gone.csv", False, "neither"),
    ):
        with pytest.raises(OperatorError, match=said):
            read_subject_photos(tmp_path / name, with_subjects=with_subjects)
    assert read_subject_photos(tmp_path / "1.jpg", with_subjects=False) == [
        PhotoOfSubject(str(tmp_path / "1.jpg"), None)
    ]


def test_a_ledger_leaves_out_what_is_done_and_is_of_one_run_only(tmp_path: Path) -> None:
    async def read() -> bytes:
        return b""

    done, open_one = (SourcePhoto(name, read) for name in ("a\nb.jpg", "c.jpg"))
    path = tmp_path / "ledger"
    with Ledger(path, "t staff r:1") as ledger:
        assert not ledger.has(done)
        ledger.add(done)
    assert path.stat().st_mode & 0o077 == 0
    with Ledger(path, "t staff r:1") as again:
        assert (again.has(done), again.has(open_one)) == (True, False)
        assert not again.has(SourcePhoto(done.name, read, "ada"))
    with path.open("a") as file:
        file.write('["cut o')  # a crash while it was written
    with Ledger(path, "t staff r:1") as again:
        again.add(open_one)
    with Ledger(path, "t staff r:1") as again:
        assert again.has(done)
        assert again.has(open_one)
    (tmp_path / "mine.csv").write_text("photo\n")
    for other, about in ((path, "t lobby r:1"), (tmp_path / "mine.csv", "t staff r:1"), (tmp_path / "no/such", "t")):
        with pytest.raises(OperatorError, match="--progress"), Ledger(other, about):
            pass
    assert (tmp_path / "mine.csv").read_text() == "photo\n"
    with Ledger(None, "t") as none:
        none.add(done)
        assert not none.has(done)


def test_files_that_are_no_photos_are_counted_by_their_endings(tmp_path: Path) -> None:
    for name in ("ada/1.jpg", "ada/2.HEIC", "ada/3.MOV", "bob/4.mov", "bob/5.cr2", "README"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    left_out = list_left_out(tmp_path)
    assert [file.name for file in left_out] == ["README", "3.MOV", "4.mov", "5.cr2"]
    assert "Files left out: 4" in describe_left_out(left_out)
    assert "2 .mov, 1 without an ending, 1 .cr2" in describe_left_out(left_out)
    assert len(read_subject_photos(tmp_path, with_subjects=False)) == 2
    assert list_left_out(tmp_path / "ada" / "1.jpg") == []
