"""Damage in JPEGs that decoders do not notice is found; undamaged files of every kind are not taken for damaged."""

import random
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from app.errors import ImageTruncated
from app.ml.image import ImageLimits, open_photo
from app.ml.jpeg_damage import has_impossible_averages
from app.ml.jpeg_structure import START_OF_SCAN, iterate_segments
from tests import pictures

LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 22)


def damage(data: bytes, count: int, seed: int) -> bytes:
    """Change bytes of the coded data; 0xFF is neither touched nor made, so that no marker comes or goes."""
    generator = random.Random(seed)
    first = next(segment.end for segment in iterate_segments(data) if segment.marker == START_OF_SCAN)
    damaged = bytearray(data)
    places = [at for at in range(first, len(data) - 2) if 0xFF not in data[at - 1 : at + 1]]
    for place in generator.sample(places, count):
        damaged[place] = (damaged[place] + generator.randrange(1, 255)) % 255
    return bytes(damaged)


def is_damaged(data: bytes) -> bool:
    return has_impossible_averages(data, iterate_segments(data))


def decodes_without_warning(data: bytes) -> bool:
    try:
        simplejpeg.decode_jpeg(data, strict=True)
    except ValueError:
        return False
    return True


def extreme_picture() -> Image.Image:
    """Black, white and saturated areas with sharp edges: the averages reach both ends of their range."""
    pixels = np.full((160, 160, 3), 255, np.uint8)
    pixels[:80, :80] = 0
    pixels[80:, :40] = (255, 0, 0)
    pixels[80:, 40:80] = (0, 0, 255)
    pixels[100:140, 100:140] = np.random.default_rng(1).integers(0, 2, (40, 40, 1)) * 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("quality", [5, 30, 60, 85, 95, 100])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_undamaged_files_have_possible_averages(quality: int, options: dict[str, Any]) -> None:
    for picture in (extreme_picture(), extreme_picture().convert("L"), pictures.portrait(1, side=200)):
        assert not is_damaged(pictures.encode(picture, quality=quality, **options))


@pytest.mark.parametrize("quality", [85, 92])
@pytest.mark.parametrize(("mode", "share"), [("RGB", 0.8), ("L", 0.5)])
def test_silent_damage_is_refused(quality: int, mode: str, share: float) -> None:
    data = pictures.encode(pictures.portrait(2, side=320).convert(mode), quality=quality)
    silent = [file for file in (damage(data, 10, seed) for seed in range(100)) if decodes_without_warning(file)]
    assert silent
    refused = 0
    for file in silent:
        try:
            photo = open_photo(file, LIMITS)
            photo.render((0, 0, photo.width, photo.height), 320, 320)
        except ImageTruncated:
            refused += 1
    assert refused >= share * len(silent)


@pytest.mark.parametrize("level", [1, 2, 4, 8])
def test_damage_is_found_at_every_level(level: int) -> None:
    data = pictures.encode(pictures.portrait(2, side=640), quality=90)
    damaged = next(
        file
        for file in (damage(data, 10, seed) for seed in range(500))
        if decodes_without_warning(file) and is_damaged(file)
    )
    with pytest.raises(ImageTruncated, match="damaged"):
        open_photo(damaged, LIMITS).render((0, 0, 640, 640), 640 // level, 640 // level)


def test_headers_of_other_kinds_are_left_to_the_decoder() -> None:
    cmyk = pictures.encode(extreme_picture().convert("CMYK"))
    assert not is_damaged(cmyk)
    data = pictures.encode(extreme_picture())
    for end in range(2, next(segment.end for segment in iterate_segments(data) if segment.marker == START_OF_SCAN)):
        assert not is_damaged(data[:end])
