"""A manifest of an event whose people are separated by the wrong character would score zero; it is refused."""

from pathlib import Path

import pytest

from app.errors import OperatorError
from app.evaluation.datasets import read_event


def write(path: Path, *rows: str) -> Path:
    file = path / "manifest.csv"
    file.write_text("\n".join(["kind,photo,people", *rows]) + "\n")
    return file


SELFIES = ("selfie,s1.jpg,ada", "selfie,s2.jpg,bob")


@pytest.mark.parametrize("people", ["ada|bob", '"ada,bob"', '"ada, bob"', "ada / bob", "ada:bob", "ada&bob", "ada+bob"])
def test_another_separator_is_refused_with_its_line(people: str, tmp_path: Path) -> None:
    manifest = write(tmp_path, "photo,p1.jpg,ada;bob", f"photo,p2.jpg,{people}", *SELFIES)
    with pytest.raises(OperatorError, match=r"line 3: `people` has .*; separate people with `;`"):
        read_event(tmp_path, manifest)


@pytest.mark.parametrize("people", ["ada bob", "Ada", "eve"])
def test_selfies_of_people_in_no_photo_are_refused(people: str, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no photo shows anybody who has a selfie"):
        read_event(tmp_path, write(tmp_path, f"photo,p1.jpg,{people}", *SELFIES))


def test_names_with_such_characters_are_names(tmp_path: Path) -> None:
    rows = (
        'photo,p1.jpg,"Acker, Ada;bob|1"',
        "photo,p2.jpg,x/y;eve",
        'selfie,s1.jpg,"Acker, Ada"',
        "selfie,s2.jpg,bob|1",
    )
    event = read_event(tmp_path, write(tmp_path, *rows))
    assert event.photos[tmp_path / "p1.jpg"] == {"Acker, Ada", "bob|1"}
    assert event.photos[tmp_path / "p2.jpg"] == {"x/y", "eve"}
    assert [person for person, _ in event.selfies] == ["Acker, Ada", "bob|1"]
