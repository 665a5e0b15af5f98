"""Create the photos that benchmarks send, from LFW or from drawn people; the same seed gives the same photos.

`lfw` are LFW's own files: 250x250 with one face in the center. `group` is 1280x886 with six faces. `large_1` and
`large_12` have 12 megapixels, as from a phone, with one face and with twelve. The larger photos are composed of
enlarged small ones, with mild sensor noise, so that the files are as large as those of cameras.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group

KINDS = ("lfw", "group", "large_1", "large_12")
COUNTS = {"lfw": 200, "group": 8, "large_1": 8, "large_12": 8}
SIDE = 250
GROUP_SIZE, LARGE_SIZE = (1280, 886), (4000, 3000)
_HEAD = 80  # width in pixels; a single detection at 640x640 misses much larger heads
_CENTER = 190  # side in pixels of the center of LFW photos, which shows fewer bystanders
_QUALITY = 90
_NOISE = {"group": 2.0, "large_1": 3.5, "large_12": 3.5}

Source = Callable[[int], bytes]


def make_photos(kind: str, lfw: Path | None, count: int | None = None, seed: int = 2) -> list[bytes]:
    """Return `count` different JPEGs of a kind, of drawn people unless an LFW directory is given."""
    source = _lfw_files(lfw, seed) if lfw else _drawn_files(seed)
    rng = np.random.default_rng(seed)
    indices = range(count or COUNTS[kind])
    match kind:
        case "lfw":
            return [source(index) for index in indices]
        case "group":
            return [_encode(_grid(source, 6 * index, (3, 2), GROUP_SIZE), kind, rng) for index in indices]
        case "large_1":
            return [_encode(_portrait(source, index), kind, rng) for index in indices]
        case "large_12":
            return [_encode(_grid(source, 12 * index, (4, 3), LARGE_SIZE), kind, rng) for index in indices]
        case _:
            raise ValueError(f"unknown kind of photo: {kind}; use one of {', '.join(KINDS)}")


def as_form(image: bytes, fields: dict[str, str]) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a multipart form with the field `image`, so that encoding is not timed."""
    boundary = "vultus-benchmark-7f3c1a"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    body = b"".join([*parts, head, image, f"\r\n--{boundary}--\r\n".encode()])
    return {"content-type": f"multipart/form-data; boundary={boundary}"}, body


def _lfw_files(directory: Path, seed: int) -> Source:
    files = sorted(directory.glob("*/*.jpg"))
    if not files:
        raise SystemExit(f"{directory} has no photos (*.jpg) in one folder per person")
    order = np.random.default_rng(seed).permutation(len(files))
    return lambda index: files[order[index % len(files)]].read_bytes()


def _drawn_files(seed: int) -> Source:
    def draw(index: int) -> bytes:
        variation = Variation.random(np.random.default_rng([seed, index]))
        placement = Placement(SIDE / 2, SIDE / 2, _HEAD)
        picture, _ = draw_group([(Person(index), placement, variation)], (SIDE, SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=_QUALITY)
        return buffer.getvalue()

    return draw


def _grid(source: Source, first: int, shape: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """Compose a grid of photos, each enlarged to fill its cell; `shape` is (columns, rows)."""
    (columns, rows), (width, height) = shape, size
    canvas = Image.new("RGB", size)
    for index in range(columns * rows):
        column, row = index % columns, index // columns
        left, top = width * column // columns, height * row // rows
        right, bottom = width * (column + 1) // columns, height * (row + 1) // rows
        cell = _fill(_open(source(first + index)), (right - left, bottom - top))
        canvas.paste(cell, (left, top))
    return canvas


def _portrait(source: Source, index: int) -> Image.Image:
    """Compose a photo of one person, the face about a fifth of the width, on a blurred background."""
    photo = _open(source(index))
    backdrop = photo.resize((40, 30), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(6))
    canvas = backdrop.resize(LARGE_SIZE, Image.Resampling.BICUBIC)
    side = LARGE_SIZE[1] // 2
    canvas.paste(photo.resize((side, side), Image.Resampling.BICUBIC), ((LARGE_SIZE[0] - side) // 2, side // 2))
    return canvas


def _open(data: bytes) -> Image.Image:
    photo = Image.open(io.BytesIO(data)).convert("RGB")
    left, top = (photo.width - _CENTER) // 2, (photo.height - _CENTER) // 2
    return photo.crop((left, top, left + _CENTER, top + _CENTER))


def _fill(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    side = max(size)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    enlarged = photo.resize((side, side), Image.Resampling.BICUBIC)
    return enlarged.crop((left, top, left + size[0], top + size[1]))


def _encode(photo: Image.Image, kind: str, rng: np.random.Generator) -> bytes:
    pixels = np.asarray(photo, np.float32)
    pixels = pixels + rng.standard_normal((*pixels.shape[:2], 1), np.float32) * _NOISE[kind]
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
