"""Alterations of a photo under which strangers' faces must not match each other.

Each takes and returns a BGR uint8 picture of 250x250 pixels, as LFW has them, with a face of about 110 pixels. Nothing
is drawn at random: the same photo gives the same picture.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Alteration = Callable[[Picture], Picture]

_FACE_PIXELS = 110
_BLACK, _PALE, _GRAY = (15, 15, 15), (230, 220, 210), (120, 120, 120)


def _picture(values: NDArray[np.generic] | cv2.Mat) -> Picture:
    return np.asarray(values, dtype=np.uint8)


def _blurred(sigma: float) -> Alteration:
    return lambda picture: _picture(cv2.GaussianBlur(picture, (0, 0), sigma))


def _moved(pixels: int) -> Alteration:
    kernel = np.zeros((pixels, pixels), np.float32)
    kernel[pixels // 2] = 1 / pixels
    return lambda picture: _picture(cv2.filter2D(picture, -1, kernel))


def _enlarged(face_pixels: int, way: int = cv2.INTER_CUBIC) -> Alteration:
    """As if the face had been this wide and was enlarged."""
    scale = face_pixels / _FACE_PIXELS

    def alter(picture: Picture) -> Picture:
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return _picture(cv2.resize(small, (picture.shape[1], picture.shape[0]), interpolation=way))

    return alter


def _compressed(quality: int) -> Alteration:
    def alter(picture: Picture) -> Picture:
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None  # just encoded
        return _picture(decoded)

    return alter


def _noisy(deviation: float) -> Alteration:
    def alter(picture: Picture) -> Picture:
        noise = np.random.default_rng(1).normal(0, deviation, picture.shape)
        return _picture(np.clip(picture + noise, 0, 255))

    return alter


def _covered(corner: tuple[int, int], opposite: tuple[int, int], color: tuple[int, int, int]) -> Alteration:
    return lambda picture: _picture(cv2.rectangle(picture.copy(), corner, opposite, color, -1))


def _brightness(factor: float, offset: float = 0.0) -> Alteration:
    return lambda picture: _picture(np.clip(picture * factor + offset, 0, 255))


ALTERATIONS: dict[str, Alteration] = {
    "none": lambda picture: picture,
    "blur, sigma 3": _blurred(3),
    "blur, sigma 5": _blurred(5),
    "blur, sigma 7": _blurred(7),
    "motion blur, 25 px": _moved(25),
    "face of 8 px, enlarged": _enlarged(8),
    "face of 12 px, enlarged": _enlarged(12),
    "face of 16 px, enlarged": _enlarged(16),
    "face of 12 px, pixelated": _enlarged(12, cv2.INTER_NEAREST),
    "JPEG quality 2": _compressed(2),
    "JPEG quality 5": _compressed(5),
    "noise, deviation 30": _noisy(30),
    "noise, deviation 60": _noisy(60),
    "negative": lambda picture: _picture(255 - picture),
    "posterized, 4 levels": lambda picture: _picture(picture // 64 * 64),
    "upside down": lambda picture: _picture(cv2.rotate(picture, cv2.ROTATE_180)),
    "turned by 90 degrees": lambda picture: _picture(cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE)),
    "very dark": _brightness(0.06),
    "dark": _brightness(0.15),
    "overexposed": _brightness(3, 60),
    "sunglasses": _covered((80, 95), (170, 122), _BLACK),
    "mask": _covered((80, 135), (170, 190), _PALE),
    "eyes covered": _covered((70, 90), (180, 125), _GRAY),
    "half covered": _covered((125, 0), (249, 249), _BLACK),
    "lower half covered": _covered((0, 135), (249, 249), _GRAY),
}
