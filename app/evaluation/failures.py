"""What went most wrong, for somebody to look at: photos and where in them the faces are; never the faces themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.domain.faces import RelativeBox

MOST = 24
"""Of each kind of failure."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo, what it is in the failure, and the face's place where that is known."""

    caption: str
    photo: Path
    box: RelativeBox | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that was decided wrongly; `weight`: how wrongly, by which the worst are shown."""

    said: str
    pictures: tuple[Picture, ...]
    weight: float

    def as_json(self) -> dict[str, Any]:
        """For a report."""
        return {
            "said": self.said,
            "pictures": [
                {
                    "caption": one.caption,
                    "photo": str(one.photo),
                    "box": [one.box.left, one.box.top, one.box.width, one.box.height] if one.box is not None else None,
                }
                for one in self.pictures
            ],
        }


def worst(failures: Sequence[Failure], most: int = MOST) -> list[Failure]:
    """Those that were most wrong, the worst first; of one and the same photos only one."""
    by_photos: dict[frozenset[Path], Failure] = {}
    for failure in sorted(failures, key=lambda failure: -failure.weight):
        by_photos.setdefault(frozenset(picture.photo for picture in failure.pictures), failure)
    return list(by_photos.values())[:most]


def located(failures: Sequence[Failure], locate: Callable[[Path], RelativeBox | None]) -> list[Failure]:
    """With the places of the faces that the run did not come to know."""

    def place(picture: Picture) -> Picture:
        return picture if picture.box is not None else replace(picture, box=locate(picture.photo))

    return [replace(one, pictures=tuple(place(picture) for picture in one.pictures)) for one in failures]
