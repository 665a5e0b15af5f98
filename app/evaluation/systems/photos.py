"""Reads and identifies the photo files of an evaluation."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from app.errors import OperatorError
from app.ml.image import ImageLimits, open_photo

_PHOTO_LIMITS = ImageLimits(max_bytes=1 << 30, max_pixels=1 << 30)


def identity_of(photo: Path) -> str:
    """Identify a photo by path, size and modification time, so a replaced file differs; raises `OperatorError`."""
    try:
        status = photo.stat()
    except OSError as exc:
        raise OperatorError(f"{photo} cannot be read: {exc.strerror}.") from exc
    return f"{photo.resolve()} {status.st_size} {status.st_mtime_ns}"


def digest_of(photos: Iterable[tuple[str, Path]]) -> str:
    """Return a short digest of photos and their names, in order; raises `OperatorError`."""
    digest = hashlib.sha256()
    for name, photo in photos:
        digest.update(f"{name}\0{identity_of(photo)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def read_photo(photo: Path) -> bytes:
    """Return the file's bytes; raises `OperatorError`."""
    try:
        return photo.read_bytes()
    except OSError as exc:
        raise OperatorError(f"{photo} cannot be read: {exc.strerror}.") from exc


def size_of(data: bytes) -> tuple[int, int]:
    """Return width and height of the upright image, as the pipeline sees it; raises a subclass of `ImageRefused`."""
    photo = open_photo(data, _PHOTO_LIMITS)
    return photo.width, photo.height
