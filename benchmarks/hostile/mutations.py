"""Damage valid photos on purpose: bytes, lengths, sizes, and the order of a file's parts; a seed gives the same file.

A container is split into its parts: the segments of a JPEG, the chunks of PNG and WebP, the boxes of AVIF and HEIC, and
slices of the others. Checksums of PNG chunks are mended in two of three files, so that decoders look beyond them.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

from PIL import Image

from app.ml import heif
from app.ml.synthetic.portraits import Person, draw_portrait

SIDE, LARGE_SIDE = 200, 6000
_FORMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG baseline": ("RGB", "JPEG", {"quality": 90}),
    "JPEG progressive": ("RGB", "JPEG", {"quality": 90, "progressive": True}),
    "JPEG gray": ("L", "JPEG", {"quality": 90}),
    "JPEG CMYK": ("CMYK", "JPEG", {"quality": 90}),
    "PNG RGB": ("RGB", "PNG", {}),
    "PNG RGBA": ("RGBA", "PNG", {}),
    "PNG palette": ("P", "PNG", {}),
    "PNG gray": ("L", "PNG", {}),
    "PNG 16-bit": ("I;16", "PNG", {}),
    "PNG bits": ("1", "PNG", {}),
    "WebP lossy": ("RGB", "WEBP", {"quality": 80}),
    "WebP lossless": ("RGB", "WEBP", {"lossless": True}),
    "WebP alpha": ("RGBA", "WEBP", {"quality": 80}),
    "AVIF": ("RGB", "AVIF", {"speed": 10}),
    "AVIF alpha": ("RGBA", "AVIF", {"speed": 10}),
    "HEIC": ("RGB", "HEIF", {"quality": 60}),
    "GIF": ("P", "GIF", {}),
    "BMP": ("RGB", "BMP", {}),
    "BMP palette": ("P", "BMP", {}),
    "TIFF": ("RGB", "TIFF", {}),
    "TIFF LZW": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "TIFF deflate": ("RGB", "TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF CMYK": ("CMYK", "TIFF", {}),
}
_LARGE = ("JPEG baseline", "JPEG progressive", "JPEG CMYK", "PNG palette", "PNG bits", "WebP lossy", "WebP lossless",
          "AVIF", "GIF", "TIFF LZW", "TIFF deflate")  # fmt: skip
FORMATS = tuple(name for name in _FORMS if name != "HEIC" or heif.IS_AVAILABLE)
LARGE_FORMATS = tuple(f"{name}, large" for name in _LARGE)
"""Of a small face on a plain ground of 6000 x 6000 pixels, which is a small file."""
_EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_SIZES = (0, 1, 2, 16, 100, 201, 1000, 4000, 7000, 16383, 30000, 65535, 65536, 2**31 - 1, 2**32 - 1)

Parts = list[bytes]
Mutator = Callable[[Random, str, bytes], bytes]


@cache
def valid_photo(name: str) -> bytes:
    """Return a photo of one drawn person in a format, with sides of `side_of(name)` pixels."""
    if name == "HEIC":
        import pillow_heif

        pillow_heif.register_heif_opener()
    mode, form, options = _FORMS[name.removesuffix(", large")]
    picture = draw_portrait(Person(1), side=SIDE)
    if (side := side_of(name)) != SIDE:
        small, picture = picture, Image.new("RGB", (side, side), (128, 128, 128))
        picture.paste(small.resize((side // 4, side // 4)), (side // 3, side // 3))
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    elif mode == "I;16":
        picture = picture.convert("I").point(lambda value: value * 256).convert("I;16")
    elif mode != "RGB":
        picture = picture.convert(mode)
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(buffer, form, **options, **({"exif": exif} if form in ("JPEG", "PNG", "WEBP") else {}))
    return buffer.getvalue()


def side_of(name: str) -> int:
    """Return the width and height of the valid photo of a format."""
    return LARGE_SIDE if name.endswith(", large") else SIDE


def mutate(name: str, seed: int) -> tuple[str, bytes]:
    """Return what was done to the photo of a format, and the result."""
    rng = Random(f"{name} {seed}")
    data, done = valid_photo(name), list[str]()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.choice(list(_MUTATORS))
        data, done = _MUTATORS[kind](rng, name, data), [*done, kind]
    return " + ".join(done), data


def _flip_bytes(rng: Random, name: str, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 4, 16, 64))):
        if changed:
            changed[_place(rng, len(changed))] = rng.randrange(256)
    return _mend(rng, name, bytes(changed))


def _truncate(rng: Random, name: str, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _set_length(rng: Random, name: str, data: bytes) -> bytes:
    """Write an extreme number over 1 to 4 bytes; most often near the beginning, where lengths are."""
    size, value = rng.choice((1, 2, 4)), rng.choice(_EDGES)
    if len(data) < size:
        return data
    place = _place(rng, len(data) - size + 1)
    number = (value & (1 << 8 * size) - 1).to_bytes(size, rng.choice(("big", "little")))
    return _mend(rng, name, data[:place] + number + data[place + size :])


def _set_size(rng: Random, name: str, data: bytes) -> bytes:
    """Replace the width or height where it stands in the file, in the format's byte order."""
    wide, order = _SIDES_OF[_kind(name)]
    side = side_of(name)
    written = tuple(number.to_bytes(wide, order) for number in (side, side - 1))  # WebP writes one less
    places = [place for place in range(min(len(data), 1200)) if data.startswith(written, place)]
    if not places:
        return data
    chosen = places if rng.random() < 0.5 else [rng.choice(places)]
    changed, limit = bytearray(data), 1 << 8 * wide
    for place in chosen[:4]:
        changed[place : place + wide] = (rng.choice(_SIZES) % limit).to_bytes(wide, order)
    return _mend(rng, name, bytes(changed))


def _swap_parts(rng: Random, name: str, data: bytes) -> bytes:
    parts = split(name, data)
    if len(parts) > 2:
        first, second = rng.sample(range(1, len(parts)), 2)
        parts[first], parts[second] = parts[second], parts[first]
    return b"".join(parts)


def _shuffle_parts(rng: Random, name: str, data: bytes) -> bytes:
    head, *rest = split(name, data)
    rng.shuffle(rest)
    return b"".join([head, *rest])


def _repeat_part(rng: Random, name: str, data: bytes) -> bytes:
    parts = split(name, data)
    place = rng.randrange(len(parts))
    times = min(rng.choice((1, 2, 30, 400)), 1 + 2_000_000 // (len(parts[place]) + 1))
    return b"".join([*parts[:place], parts[place] * (1 + times), *parts[place + 1 :]])


def _drop_part(rng: Random, name: str, data: bytes) -> bytes:
    parts = split(name, data)
    del parts[rng.randrange(len(parts))]
    return b"".join(parts)


def _join(rng: Random, name: str, data: bytes) -> bytes:
    other = valid_photo(rng.choice(FORMATS))
    return rng.choice((data + data, data + other, other + data, data + bytes(1000), b"\xff" * 100 + data))


def _cross(rng: Random, name: str, data: bytes) -> bytes:
    """Continue with another photo from a random place on."""
    other = valid_photo(rng.choice(FORMATS))
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]


def _blank(rng: Random, name: str, data: bytes) -> bytes:
    begin = _place(rng, len(data) + 1)
    length = min(rng.choice((4, 64, 1000, 10_000)), len(data) - begin)
    return _mend(rng, name, data[:begin] + rng.choice((b"\0", b"\xff")) * length + data[begin + length :])


_MUTATORS: dict[str, Mutator] = {
    "bytes": _flip_bytes,
    "truncated": _truncate,
    "length": _set_length,
    "size": _set_size,
    "swapped": _swap_parts,
    "shuffled": _shuffle_parts,
    "repeated": _repeat_part,
    "dropped": _drop_part,
    "joined": _join,
    "crossed": _cross,
    "blanked": _blank,
}
_SIDES_OF: dict[str, tuple[int, Any]] = {
    "JPEG": (2, "big"),
    "PNG": (4, "big"),
    "WebP": (2, "little"),
    "AVIF": (4, "big"),
    "HEIC": (4, "big"),
    "GIF": (2, "little"),
    "BMP": (4, "little"),
    "TIFF": (2, "little"),
}


def _kind(name: str) -> str:
    return name.replace(",", "").split(" ", maxsplit=1)[0]


def _place(rng: Random, size: int) -> int:
    """Draw a place; half of them lie in the first 256 bytes."""
    return rng.randrange(min(size, 256) if rng.random() < 0.5 else size) if size else 0


def split(name: str, data: bytes) -> Parts:
    """Split a file into its header and its parts; what does not look like a part stays together."""
    first, find = _SPLITTERS.get(_kind(name), (16, _slices))
    parts, begin = [data[:first]], first
    for end in find(data, first):
        if not begin < end <= len(data):
            break
        parts.append(data[begin:end])
        begin = end
    if data[begin:]:
        parts.append(data[begin:])
    return parts


def _jpeg_segments(data: bytes, begin: int) -> Iterator[int]:
    while begin + 4 <= len(data) and data[begin] == 0xFF and data[begin + 1] != 0xDA:
        begin += 2 + int.from_bytes(data[begin + 2 : begin + 4], "big")
        yield begin
    while (begin := data.find(b"\xff", begin + 1)) > 0:  # scans, at every marker
        if begin + 1 < len(data) and data[begin + 1] not in (0, 0xFF):
            yield begin


def _png_chunks(data: bytes, begin: int) -> Iterator[int]:
    while begin + 12 <= len(data):
        begin += 12 + int.from_bytes(data[begin : begin + 4], "big")
        yield begin


def _riff_chunks(data: bytes, begin: int) -> Iterator[int]:
    while begin + 8 <= len(data):
        length = int.from_bytes(data[begin + 4 : begin + 8], "little")
        begin += 8 + length + length % 2
        yield begin


def _boxes(data: bytes, begin: int) -> Iterator[int]:
    """The boxes, and within `meta` its own."""
    while begin + 8 <= len(data):
        length = int.from_bytes(data[begin : begin + 4], "big")
        begin += 12 if data[begin + 4 : begin + 8] == b"meta" else max(8, length)
        yield begin


def _slices(data: bytes, begin: int) -> Iterator[int]:
    yield from range(begin + 64, len(data), max(64, len(data) // 40))


_SPLITTERS: dict[str, tuple[int, Callable[[bytes, int], Iterator[int]]]] = {
    "JPEG": (2, _jpeg_segments),
    "PNG": (8, _png_chunks),
    "WebP": (12, _riff_chunks),
    "AVIF": (0, _boxes),
    "HEIC": (0, _boxes),
}


def _mend(rng: Random, name: str, data: bytes) -> bytes:
    """Correct the checksums of a PNG's chunks, in two of three files."""
    if not name.startswith("PNG") or rng.random() < 1 / 3:
        return data
    head, *chunks = split(name, data)
    return head + b"".join(_with_checksum(chunk) for chunk in chunks)


def _with_checksum(chunk: bytes) -> bytes:
    if len(chunk) < 12:
        return chunk
    return chunk[:-4] + struct.pack(">I", zlib.crc32(chunk[4:-4]))
