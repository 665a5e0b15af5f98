"""Plan the upload of an album: which photos are missing, and what became of them."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vultus_client.errors import ApiError
from vultus_client.photos import Photo

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .avif .gif .bmp .tif .tiff .heic .heif".split()  # noqa: SIM905
)
_OF_THE_ALBUM = ("album_closed", "album_not_found")


@dataclass(slots=True)
class Upload:
    """The ids of the photos that were sent, that the album had already, and that the server refused, with reasons."""

    sent: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    refused: dict[str, ApiError] = field(default_factory=dict)


def name_photos(photos: str | os.PathLike[str] | Mapping[str, Photo] | Iterable[Path]) -> dict[str, Photo]:
    """Return photos by their ids: as given, or the paths below a directory, or the names of files."""
    if isinstance(photos, Mapping):
        return dict(photos)
    if isinstance(photos, str | os.PathLike):
        root = Path(photos)
        if not root.is_dir():
            raise NotADirectoryError(f"{root} is no directory")
        files = sorted(one for one in root.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
        return {one.relative_to(root).as_posix(): one for one in files}
    named: dict[str, Photo] = {}
    for one in photos:
        if Path(one).name in named:
            raise ValueError(f"two photos are named {Path(one).name}: give a mapping of your ids to photos")
        named[Path(one).name] = Path(one)
    return named


def is_of_photo(error: ApiError) -> bool:
    """Return whether the refusal is about one photo, so that the others can still be sent."""
    return error.status in {409, 413, 422} and error.code not in _OF_THE_ALBUM
