"""The photo files that systems are asked about."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from app.errors import OperatorError
from app.ml.image import ImageLimits, open_photo

_OWN_PHOTOS = ImageLimits(max_bytes=1 << 30, max_pixels=1 << 30)


def identity_of(photo: Path) -> str:
    """A photo's place, size and time: another photo under the same name is another. Raises `OperatorError`."""
    try:
        found = photo.stat()
    except OSError as exc:
        raise OperatorError(f"{photo} cannot be read: {exc.strerror}.") from exc
    return f"{photo.resolve()} {found.st_size} {found.st_mtime_ns}"


def digest_of(photos: Iterable[tuple[str, Path]]) -> str:
    """Photos and what each is called, in their order, as a short name; raises `OperatorError`."""
    digest = hashlib.sha256()
    for name, photo in photos:
        digest.update(f"{name}\0{identity_of(photo)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def read_photo(photo: Path) -> bytes:
    """The file's bytes; raises `OperatorError`."""
    try:
        return photo.read_bytes()
    except OSError as exc:
        raise OperatorError(f"{photo} cannot be read: {exc.strerror}.") from exc


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height as the pipeline sees them, turned upright; raises an `ImageRefused`."""
    photo = open_photo(data, _OWN_PHOTOS)
    return photo.width, photo.height
