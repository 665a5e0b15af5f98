"""Which photos to read, and what is said of them: from a directory, or from a manifest (CSV)."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import OperatorError
from app.evaluation.datasets import PHOTO_ENDINGS
from app.evaluation.manifests import read_rows

_NOT_IN_AN_EXTERNAL_ID = re.compile(r"[^a-zA-Z0-9_.\-:]+")
_NOT_IN_A_USER_ID = re.compile(r"[^\w.:@+\-]+")
_MAX_EXTERNAL, _MAX_USER = 255, 128
_STORE = "s3://"


@dataclass(frozen=True, slots=True)
class PhotoToImport:
    """One photo: a file, or `s3://bucket/name` in the tenant's object store."""

    photo: str
    external_image_id: str | None
    user_id: str | None

    @property
    def in_store(self) -> tuple[str, str] | None:
        """Bucket and name of a photo that the server fetches itself."""
        return split_store(self.photo)


@dataclass(frozen=True, slots=True)
class PhotoOfSubject:
    """A photo, a file or `s3://bucket/name`, and whose it is, if that is said."""

    photo: str
    subject: str | None


def split_store(place: str) -> tuple[str, str] | None:
    """Bucket and name of `s3://bucket/name`; None for anything else."""
    if not place.startswith(_STORE):
        return None
    bucket, _, name = place.removeprefix(_STORE).partition("/")
    return bucket, name


def read_photos(place: Path, *, with_users: bool) -> list[PhotoToImport]:
    """The photos below a directory, or those that a manifest lists; raises `OperatorError` for what is neither.

    In a directory each photo's external id is its path without the ending, as `ada:1` for `ada/1.jpg`, and with
    `with_users` its folder is the user. Where a path holds what an id may not, the id ends in a digest of the path, so
    that no two become one. A manifest is a CSV file with the columns `photo` (a path beside the manifest,
    or `s3://bucket/name`), `external_image_id` and `user_id`; the last two may be missing or empty.
    """
    if place.is_dir():
        return list(_walk(place, with_users))
    if place.is_file():
        return list(_read_manifest(place))
    raise OperatorError(f"{place} is neither a directory nor a manifest.")


def read_subject_photos(place: Path, *, with_subjects: bool) -> list[PhotoOfSubject]:
    """The photos below a directory, or those that a manifest lists; raises `OperatorError` for what is neither.

    With `with_subjects` the topmost folder that a photo is in is the subject's id; a manifest is a CSV file with the
    columns `photo` (a path beside the manifest, or `s3://bucket/name`) and, where it is known, `subject`.
    """
    if place.is_file() and place.suffix.lower() in PHOTO_ENDINGS:
        return [PhotoOfSubject(_absolute(place), None)]
    if place.is_dir():
        walked = ((file, file.relative_to(place)) for file in _photos_below(place))
        listed = [
            PhotoOfSubject(_absolute(file), topmost_folder(inside.parts) if with_subjects else None)
            for file, inside in walked
        ]
        if with_subjects and listed and not any(one.subject for one in listed):
            raise OperatorError(f"{place} has no folders with photos; --subjects takes each for a subject.")
        return listed
    if place.is_file() and with_subjects:
        raise OperatorError(f"{place} is no directory; --subjects takes its folders for subjects.")
    if place.is_file():
        return [PhotoOfSubject(photo, row.get("subject") or None) for photo, row in _rows(place, ("subject",))]
    raise OperatorError(f"{place} is neither a directory nor a manifest.")


def topmost_folder(parts: Sequence[str]) -> str | None:
    """Of the parts of a path, its topmost folder; None for a photo that is in none."""
    return parts[0] if len(parts) > 1 else None


def _absolute(file: Path) -> str:
    """The same name from wherever the command is run: it stands for the photo where progress is noted."""
    return str(file.absolute())


def _photos_below(directory: Path) -> Iterator[Path]:
    return (file for file in sorted(directory.rglob("*")) if file.suffix.lower() in PHOTO_ENDINGS and file.is_file())


def _walk(directory: Path, with_users: bool) -> Iterator[PhotoToImport]:
    for file in _photos_below(directory):
        inside = file.relative_to(directory)
        external = _as_id(":".join(inside.with_suffix("").parts), _NOT_IN_AN_EXTERNAL_ID, _MAX_EXTERNAL)
        folder = ":".join(inside.parts[:-1])
        user = _as_id(folder, _NOT_IN_A_USER_ID, _MAX_USER) if with_users and folder else None
        yield PhotoToImport(str(file), external, user)


def _read_manifest(manifest: Path) -> Iterator[PhotoToImport]:
    for photo, row in _rows(manifest, ("external_image_id", "user_id")):
        yield PhotoToImport(photo, row.get("external_image_id") or None, row.get("user_id") or None)


def _rows(manifest: Path, optional: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row's photo, as a path or in a store, and the row."""
    for line, row in read_rows(manifest, ("photo",), optional=optional):
        photo = row["photo"]
        if not photo:
            raise OperatorError(f"{manifest}, line {line}: no photo.")
        yield (photo if split_store(photo) else _absolute(manifest.parent / photo)), row


def _as_id(text: str, unwanted: re.Pattern[str], most: int) -> str:
    clean = unwanted.sub("_", unicodedata.normalize("NFC", text))
    if not (clean[:1].isalnum() or clean.startswith("_")):
        clean = f"_{clean}"
    if clean == text and len(clean) <= most:
        return clean
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{clean[: most - 9]}-{digest}"
