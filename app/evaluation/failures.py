"""The worst errors of a run, to be looked at: photos and the boxes of the faces in them, never the faces themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.domain.faces import RelativeBox

MAX_PER_KIND = 24
"""How many failures of each kind a report shows."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo, its role in the failure, and the face's box if it is known."""

    caption: str
    photo: Path
    box: RelativeBox | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A wrong decision; the failures with the largest `weight` are shown."""

    description: str
    pictures: tuple[Picture, ...]
    weight: float

    def as_json(self) -> dict[str, Any]:
        """Return the failure for a report, without its weight."""
        return {
            "said": self.description,
            "pictures": [
                {
                    "caption": picture.caption,
                    "photo": str(picture.photo),
                    "box": [picture.box.left, picture.box.top, picture.box.width, picture.box.height]
                    if picture.box is not None
                    else None,
                }
                for picture in self.pictures
            ],
        }


def worst(failures: Sequence[Failure], max_failures: int = MAX_PER_KIND) -> list[Failure]:
    """Return the failures with the largest weight, largest first; for the same photos only one."""
    by_photos: dict[frozenset[Path], Failure] = {}
    for failure in sorted(failures, key=lambda failure: -failure.weight):
        by_photos.setdefault(frozenset(picture.photo for picture in failure.pictures), failure)
    return list(by_photos.values())[:max_failures]


def add_boxes(failures: Sequence[Failure], locate: Callable[[Path], RelativeBox | None]) -> list[Failure]:
    """Return the failures with missing boxes filled in by `locate`."""

    def add_box(picture: Picture) -> Picture:
        return picture if picture.box is not None else replace(picture, box=locate(picture.photo))

    return [replace(failure, pictures=tuple(add_box(picture) for picture in failure.pictures)) for failure in failures]
