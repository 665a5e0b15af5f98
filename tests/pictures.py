"""Pictures of drawn people, as bytes; each is drawn once."""

import io
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageFilter

from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group, draw_portrait

pillow_heif.register_heif_opener()
FORMS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF")
"""The formats that the service decodes, as Pillow names them."""


def portrait(seed: int, variation: Variation | None = None, *, side: int = 320) -> Image.Image:
    return draw_portrait(Person(seed), variation, side=side)


def encode(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@cache
def photo(seed: int, take: int = 0) -> bytes:
    """A JPEG of one drawn person; each take is another picture of them, take 0 a plain one."""
    variation = Variation.random(np.random.default_rng(1000 * seed + take)) if take else Variation()
    return encode(portrait(seed, variation), quality=92)


@cache
def group(*seeds: int) -> bytes:
    """A JPEG of several drawn people side by side."""
    people = [(Person(seed), Placement(140 + index * 230, 180, 120), Variation()) for index, seed in enumerate(seeds)]
    return encode(draw_group(people, (50 + 230 * len(seeds), 360))[0])


@cache
def landscape() -> bytes:
    """A JPEG without anybody in it."""
    return encode(Image.effect_mandelbrot((320, 240), (-2, -1.5, 1, 1.5), 60).convert("RGB"))


@cache
def blurred(seed: int) -> bytes:
    """A face whose light is soft while its colors are sharp: the color-led detector still sees it."""
    light, *colors = portrait(seed, side=440).convert("YCbCr").split()
    soft = light.filter(ImageFilter.GaussianBlur(12))
    return encode(Image.merge("YCbCr", [soft, *colors]).convert("RGB"), quality=95, subsampling=0)


@cache
def dark(seed: int) -> bytes:
    return encode(portrait(seed, Variation(gain=0.15)), quality=97, subsampling=0)


@cache
def small(seed: int) -> bytes:
    """A face of about 30 pixels."""
    return encode(draw_group([(Person(seed), Placement(80, 80, 30), Variation())], (160, 160))[0], quality=95)


@cache
def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 pixels in about 110 KB."""
    import struct
    import zlib

    side = 30_000
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    row = b"\0" * (side // 8 + 1)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@cache
def animation(form: str) -> bytes:
    frames = [portrait(seed, side=96) for seed in range(3)]
    return encode(frames[0], form, save_all=True, append_images=frames[1:], duration=100)
