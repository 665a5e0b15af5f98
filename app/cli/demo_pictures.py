"""Pictures for the demo: the user's own photos, the sample photo of insightface, or drawn people."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from app.errors import OperatorError
from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group, draw_portrait

PEOPLE = 6

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """A person to register: subject id, name and one or two pictures (JPEG)."""

    subject: str
    name: str
    pictures: list[bytes]


@dataclass(frozen=True, slots=True)
class Expected:
    """A person in the group picture: center of the face in pixels, and subject id or None for a stranger."""

    center: Point
    subject: str | None


@dataclass(frozen=True, slots=True)
class DemoPictures:
    """The pictures of one demo run; `source` describes where they come from."""

    source: str
    people: list[DemoPerson]
    group: bytes
    expected: list[Expected]


def drawn_pictures() -> DemoPictures:
    """Draw six people and a stranger; each picture of a person is a different variation."""
    rng = np.random.default_rng(28)
    people = [
        DemoPerson(
            f"drawn-{seed}",
            Person(seed).name,
            [_jpeg(draw_portrait(Person(seed), Variation.random(rng), side=300)) for _ in range(2)],
        )
        for seed in range(PEOPLE)
    ]
    places = [(150 + column * 235, 190 + row * 285) for row in range(2) for column in range(4)][: PEOPLE + 1]
    scene = [(Person(seed), Placement(x, y, 120), Variation.random(rng)) for seed, (x, y) in enumerate(places)]
    group, truth = draw_group(scene, (1005, 640))
    expected = [
        Expected(((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2), _subject(face.person.seed))
        for face in truth
    ]
    return DemoPictures("people drawn by Vultus itself", people, _jpeg(group), expected)


def photo_pictures(directory: Path) -> DemoPictures:
    """Use people from a directory with one folder per person.

    The first photo is registered, the second is part of the group picture. Raises `OperatorError` for too few people.
    """
    folders = [
        (folder, photos[:2])
        for folder in sorted(directory.iterdir())
        if folder.is_dir() and len(photos := sorted(folder.glob("*.jpg"))) >= 2
    ]
    if len(folders) <= PEOPLE:
        raise OperatorError(
            f"{directory} has {len(folders)} folders with two or more .jpg files; the demo needs {PEOPLE + 1}."
        )
    chosen = folders[:: max(1, len(folders) // (PEOPLE + 1))][: PEOPLE + 1]
    people = [
        DemoPerson(f"photo-{index}", folder.name.replace("_", " "), [photos[0].read_bytes()])
        for index, (folder, photos) in enumerate(chosen[:PEOPLE])
    ]
    tile = 260
    group = Image.new("RGB", (4 * tile, 2 * tile), (120, 120, 120))
    expected = []
    for index, (_, photos) in enumerate(chosen):
        x, y = index % 4 * tile, index // 4 * tile
        with Image.open(photos[1]) as photo:
            group.paste(ImageOps.fit(ImageOps.exif_transpose(photo).convert("RGB"), (tile, tile)), (x, y))
        expected.append(Expected((x + tile / 2, y + tile / 2), f"photo-{index}" if index < PEOPLE else None))
    return DemoPictures(f"photos from {directory}, combined into one group picture", people, _jpeg(group), expected)


def sample_photo() -> bytes:
    """Return the group photo that is part of the insightface package; raises `OperatorError` without the package."""
    package = find_spec("insightface")  # not imported: that takes a second and needs packages that nothing else needs
    for folder in package.submodule_search_locations or () if package is not None else ():
        return (Path(folder) / "data" / "images" / "t1.jpg").read_bytes()
    raise OperatorError(
        "The demo's group photo is part of the package insightface, which is not installed: pass your own with "
        "--photos, or run `pip install --no-deps insightface`."
    )


def sample_pictures(photo: bytes, boxes: Sequence[tuple[float, float, float, float]]) -> DemoPictures:
    """Make people to register from a group photo: mirrored, smaller crops of its faces.

    `boxes` are `(x, y, width, height)` in pixels. The last one is the stranger.
    """
    with Image.open(io.BytesIO(photo)) as opened:
        group = opened.convert("RGB")
    people, expected = [], []
    for index, (x, y, width, height) in enumerate(boxes[: PEOPLE + 1]):
        is_stranger = index == min(len(boxes), PEOPLE + 1) - 1
        expected.append(Expected((x + width / 2, y + height / 2), None if is_stranger else f"sample-{index}"))
        if not is_stranger:
            margin = 0.45 * max(width, height)
            crop = group.crop((int(x - margin), int(y - margin), int(x + width + margin), int(y + height + margin)))
            crop = ImageOps.mirror(crop).resize((crop.width * 4 // 5, crop.height * 4 // 5))
            people.append(DemoPerson(f"sample-{index}", f"Person {index + 1}", [_jpeg(crop, quality=85)]))
    source = "the sample photo of insightface; mirrored, smaller crops of it are registered"
    return DemoPictures(source, people, photo, expected)


def _subject(seed: int) -> str | None:
    return f"drawn-{seed}" if seed < PEOPLE else None


def _jpeg(image: Image.Image, quality: int = 92) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
