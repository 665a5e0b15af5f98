"""List photos and their subjects from a directory or a manifest (a CSV file)."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import OperatorError
from app.evaluation.datasets import PHOTO_ENDINGS
from app.evaluation.manifests import read_rows

_NOT_IN_AN_EXTERNAL_ID = re.compile(r"[^a-zA-Z0-9_.\-:]+")
_NOT_IN_A_USER_ID = re.compile(r"[^\w.:@+\-]+")
_MAX_EXTERNAL_ID, _MAX_USER_ID = 255, 128
_STORE_SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class PhotoToImport:
    """A photo to index: a file, or `s3://bucket/name` in the tenant's object store."""

    photo: str
    external_image_id: str | None
    user_id: str | None

    @property
    def in_store(self) -> tuple[str, str] | None:
        """Bucket and name if the server fetches the photo from the object store."""
        return split_store(self.photo)


@dataclass(frozen=True, slots=True)
class PhotoOfSubject:
    """A photo (a file or `s3://bucket/name`) and its subject, if given."""

    photo: str
    subject: str | None


@dataclass(frozen=True, slots=True)
class AlbumPhotoFile:
    """A photo's file, and its id in an album."""

    path: str
    external_id: str


def split_store(path: str) -> tuple[str, str] | None:
    """Split `s3://bucket/name` into bucket and name; None for any other path."""
    if not path.startswith(_STORE_SCHEME):
        return None
    bucket, _, name = path.removeprefix(_STORE_SCHEME).partition("/")
    return bucket, name


def read_photos(source: Path, *, with_users: bool) -> list[PhotoToImport]:
    """List the photos in a directory or manifest; raises `OperatorError` for anything else.

    In a directory, a photo's external id is its path without the suffix: `ada:1` for `ada/1.jpg`. With `with_users`,
    its folder is the user. If a path has characters that an id must not have, or is too long, the id ends in a digest
    of the path, so that ids stay distinct.
    A manifest has the columns `photo` (a path relative to the manifest, or `s3://bucket/name`) and, optionally,
    `external_image_id` and `user_id`.
    """
    if source.is_dir():
        return list(_walk(source, with_users))
    if source.is_file():
        return list(_read_manifest(source))
    raise OperatorError(f"{source} is neither a directory nor a manifest.")


def read_subject_photos(source: Path, *, with_subjects: bool) -> list[PhotoOfSubject]:
    """List the photos in a directory or manifest, or a single photo; raises `OperatorError` for anything else.

    In a directory, with `with_subjects`, the top-level folder of a photo is the subject's id. A manifest has the
    columns `photo` (a path relative to the manifest, or `s3://bucket/name`) and, optionally, `subject`.
    """
    if source.is_file() and is_photo(source):
        return [PhotoOfSubject(_absolute(source), None)]
    if source.is_dir():
        walked = ((file, file.relative_to(source)) for file in _photos_below(source))
        listed = [
            PhotoOfSubject(_absolute(file), top_folder(inside.parts) if with_subjects else None)
            for file, inside in walked
        ]
        if with_subjects and listed and not any(photo.subject for photo in listed):
            raise OperatorError(f"{source} has no folders with photos; --subjects needs one folder per subject.")
        return listed
    if source.is_file() and with_subjects:
        raise OperatorError(f"{source} is not a directory; --subjects needs a directory with one folder per subject.")
    if source.is_file():
        return [PhotoOfSubject(photo, row.get("subject") or None) for photo, row in _rows(source, ("subject",))]
    raise OperatorError(f"{source} is neither a directory nor a manifest.")


def read_album_photos(source: Path) -> list[AlbumPhotoFile]:
    """List the photos in a directory or manifest; raises `OperatorError` for anything else, or if an id occurs twice.

    In a directory, a photo's id is its path with `/`: `ada/1.jpg`. A manifest has the columns `photo` (a path relative
    to the manifest) and, optionally, `external_id`; by default that is the path as it stands there.
    """
    if source.is_dir():
        inside = ((file, file.relative_to(source).as_posix()) for file in _photos_below(source))
        return [AlbumPhotoFile(str(file), unicodedata.normalize("NFC", name)) for file, name in inside]
    if not source.is_file():
        raise OperatorError(f"{source} is neither a directory nor a manifest.")
    listed: dict[str, AlbumPhotoFile] = {}
    for line, row in read_rows(source, ("photo",), optional=("external_id",)):
        if not row["photo"] or split_store(row["photo"]):
            raise OperatorError(f"{source}, line {line}: the column photo must name a file.")
        name = unicodedata.normalize("NFC", row.get("external_id") or row["photo"])
        if name in listed:
            raise OperatorError(f"{source}, line {line}: the id {name!r} was there before; each photo needs its own.")
        listed[name] = AlbumPhotoFile(_absolute(source.parent / row["photo"]), name)
    return list(listed.values())


def list_left_out(source: Path) -> list[Path]:
    """List the files in a directory, at any depth, whose endings are not those of a photo; none for other sources."""
    if not source.is_dir():
        return []
    return [file for file in sorted(source.rglob("*")) if file.is_file() and not is_photo(file)]


def describe_left_out(files: Sequence[Path]) -> str:
    """Say how many files were left out, by ending, the most frequent first."""
    endings = Counter(file.suffix.lower() or "without an ending" for file in files)
    counted = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
    return f"Files left out: {len(files)}, whose endings are not those of photos: {counted}."


def top_folder(parts: Sequence[str]) -> str | None:
    """Return the top-level folder of a path in parts; None for a file outside of any folder."""
    return parts[0] if len(parts) > 1 else None


def _absolute(file: Path) -> str:
    """Return a path that does not depend on the working directory, since ledgers identify photos by it."""
    return str(file.absolute())


def _photos_below(directory: Path) -> Iterator[Path]:
    return (file for file in sorted(directory.rglob("*")) if file.is_file() and is_photo(file))


def is_photo(file: Path) -> bool:
    """Return whether a file has the ending of a photo."""
    return file.suffix.lower() in PHOTO_ENDINGS


def _walk(directory: Path, with_users: bool) -> Iterator[PhotoToImport]:
    for file in _photos_below(directory):
        inside = file.relative_to(directory)
        external = _as_id(":".join(inside.with_suffix("").parts), _NOT_IN_AN_EXTERNAL_ID, _MAX_EXTERNAL_ID)
        folder = ":".join(inside.parts[:-1])
        user = _as_id(folder, _NOT_IN_A_USER_ID, _MAX_USER_ID) if with_users and folder else None
        yield PhotoToImport(str(file), external, user)


def _read_manifest(manifest: Path) -> Iterator[PhotoToImport]:
    for photo, row in _rows(manifest, ("external_image_id", "user_id")):
        yield PhotoToImport(photo, row.get("external_image_id") or None, row.get("user_id") or None)


def _rows(manifest: Path, optional: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Read the rows of a manifest, each with its photo as an absolute path or `s3://` path."""
    for line, row in read_rows(manifest, ("photo",), optional=optional):
        photo = row["photo"]
        if not photo:
            raise OperatorError(f"{manifest}, line {line}: the column photo is empty.")
        yield (photo if split_store(photo) else _absolute(manifest.parent / photo)), row


def _as_id(text: str, forbidden: re.Pattern[str], max_length: int) -> str:
    clean = forbidden.sub("_", unicodedata.normalize("NFC", text))
    if not (clean[:1].isalnum() or clean.startswith("_")):
        clean = f"_{clean}"
    if clean == text and len(clean) <= max_length:
        return clean
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{clean[: max_length - 9]}-{digest}"
