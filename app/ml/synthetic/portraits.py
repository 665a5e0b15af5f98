"""Draw the people of the synthetic pack: one seed is one person, one variation is one picture of that person.

Everything is drawn in ArcFace's 112x112 frame, see `ARCFACE_FRAME`. A similarity transform moves it onto the canvas, so
the true landmarks of each face are known. No photograph is involved.
"""

import colorsys
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

# The five landmarks in ArcFace's 112x112 frame: left eye, right eye, nose, left and right corner of the mouth
# (insightface/utils/face_align.py).
ARCFACE_FRAME = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float64,
)
FACE_CENTER = (56.0, 68.0)
FACE_WIDTH = 80.0  # of the drawn head, in units of the frame
_SUPERSAMPLING = 2

Color = tuple[int, int, int]
Points = list[tuple[float, float]]

_SKINS: tuple[Color, ...] = (
    (247, 214, 188),
    (235, 190, 158),
    (222, 172, 138),
    (201, 149, 113),
    (178, 124, 88),
    (146, 99, 70),
    (112, 76, 55),
)
_HAIRS: tuple[Color, ...] = (
    (38, 32, 30),
    (74, 54, 42),
    (116, 84, 58),
    (214, 182, 118),
    (168, 168, 166),
    (236, 232, 222),
    (150, 106, 66),
)
_BACKGROUNDS: tuple[Color, ...] = (
    (196, 205, 190),
    (214, 206, 188),
    (186, 188, 194),
    (176, 190, 176),
    (226, 222, 212),
    (150, 152, 150),
)
_LIPS: tuple[Color, ...] = ((206, 44, 56), (186, 30, 44), (222, 58, 62), (164, 24, 36))
_GIVEN = ("Ada", "Ben", "Cleo", "Dev", "Elif", "Finn", "Gia", "Hugo", "Ines", "Jomo", "Kira", "Luc", "Mina", "Noor")
_FAMILY = ("Acker", "Birch", "Castell", "Dorn", "Eames", "Falk", "Grau", "Holm", "Iversen", "Juarez", "Klee")

_TRAITS: dict[str, int | tuple[float, float]] = {
    "skin": len(_SKINS),
    "hair": len(_HAIRS),
    "lips": len(_LIPS),
    "iris_hue": (0.50, 0.66),
    "eye_size": (0.9, 1.2),
    "head_width": (0.92, 1.06),
    "head_height": (0.94, 1.08),
    "hair_style": 5,
    "hairline": (22, 36),
    "hair_volume": (1.0, 1.18),
    "parting": (-18, 18),
    "brow_thickness": (1.6, 4.6),
    "brow_tilt": (-4, 4),
    "brow_height": (-13, -9),
    "nose_width": (4, 10),
    "nose_shade": (0.72, 0.88),
    "lip_thickness": (3.2, 6.0),
    "beard": 5,
    "beard_shade": (0.75, 1.1),
    "glasses": 4,
    "glasses_size": (10.5, 13.5),
    "cheeks": (0.0, 0.5),
    "freckles": 3,
    "freckle_seed": 1_000_000,
    "mole_x": (-30, 30),
    "mole_y": (-2, 40),
    "mole_size": (0, 3.4),
    "wrinkles": 3,
    "scar": 5,
    "band": 4,
    "band_hue": (0.16, 0.46),
}
"""How each trait varies: an int is the number of choices, a pair the range of a number."""


@dataclass(frozen=True)
class Person:
    """One drawn person; the same seed always gives the same person."""

    seed: int

    @property
    def name(self) -> str:
        family = (self.seed // len(_GIVEN) + self.seed) % len(_FAMILY)
        return f"{_GIVEN[self.seed % len(_GIVEN)]} {_FAMILY[family]}"

    @cached_property
    def traits(self) -> dict[str, float]:
        """Features that identify the person: proportions in units of the frame, palette indices, marks."""
        rng = np.random.default_rng(7_919 * (self.seed + 1))
        # In the order of the table: another order would give every person another face.
        return {
            name: float(rng.uniform(*choice)) if isinstance(choice, tuple) else int(rng.integers(choice))
            for name, choice in _TRAITS.items()
        }


@dataclass(frozen=True)
class Variation:
    """The differences between two pictures of one person.

    Smile (-1..1), open mouth (0..1) and gaze (-1..1) are relative; `gain` multiplies the light, `warmth` shifts it from
    blue to red, `noise` is a standard deviation in gray levels, `background` an index.
    """

    roll_deg: float = 0.0
    smile: float = 0.0
    mouth_open: float = 0.0
    gaze: float = 0.0
    gain: float = 1.0
    warmth: float = 0.0
    noise: float = 0.0
    background: int = 0

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Variation":
        """Vary a picture moderately: tilt, expression, light and background."""
        return cls(
            roll_deg=float(rng.uniform(-14, 14)),
            smile=float(rng.uniform(-0.6, 1.0)),
            mouth_open=float(rng.uniform(0, 1)),
            gaze=float(rng.uniform(-1, 1)),
            gain=float(rng.uniform(0.78, 1.1)),
            warmth=float(rng.uniform(-0.04, 0.04)),
            noise=float(rng.uniform(0, 4)),
            background=int(rng.integers(len(_BACKGROUNDS))),
        )


@dataclass(frozen=True)
class Placement:
    """The position of a face on the canvas: its center and the width of its head, in pixels."""

    x: float
    y: float
    width: float


@dataclass(frozen=True)
class DrawnFace:
    """Ground truth of one drawn face: box `(x1, y1, x2, y2)` and five landmarks, in pixels of the canvas."""

    person: Person
    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]


class _Pen:
    """Draws in units of the frame onto a canvas, through one similarity transform."""

    def __init__(self, draw: ImageDraw.ImageDraw, placement: Placement, roll_deg: float) -> None:
        self._draw = draw
        self._origin = np.array([placement.x, placement.y])
        scale = placement.width / FACE_WIDTH
        angle = math.radians(roll_deg)
        self._matrix = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        self.scale = scale

    def to_canvas(self, points: np.ndarray) -> np.ndarray:
        on_canvas: np.ndarray = (points - np.array(FACE_CENTER)) @ self._matrix.T + self._origin
        return on_canvas

    def polygon(self, points: Points, fill: Color) -> None:
        on_canvas = self.to_canvas(np.asarray(points, dtype=np.float64)) * _SUPERSAMPLING
        self._draw.polygon([tuple(p) for p in on_canvas.tolist()], fill=fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Color, start: int = 0, stop: int = 360) -> None:
        angles = np.radians(np.linspace(start, stop, 40))
        self.polygon(list(zip(x + rx * np.cos(angles), y + ry * np.sin(angles), strict=True)), fill)

    def line(self, points: Points, width: float, fill: Color) -> None:
        on_canvas = self.to_canvas(np.asarray(points, dtype=np.float64)) * _SUPERSAMPLING
        pixels = max(1, round(width * self.scale * _SUPERSAMPLING))
        self._draw.line([tuple(p) for p in on_canvas.tolist()], fill=fill, width=pixels, joint="curve")


def draw_portrait(person: Person, variation: Variation | None = None, *, side: int = 320) -> Image.Image:
    """Draw one person on a square RGB canvas of `side` pixels; the head takes about half of its width."""
    picture, _ = draw_group(
        [(person, Placement(side / 2, side * 0.5, side * 0.5), variation or Variation())], (side, side)
    )
    return picture


def draw_group(
    people: list[tuple[Person, Placement, Variation]], size: tuple[int, int]
) -> tuple[Image.Image, list[DrawnFace]]:
    """Draw people on an RGB canvas of `size` `(width, height)`, and return it with the ground truth of every face.

    The first person's variation decides light and background.
    """
    light = people[0][2] if people else Variation()
    wide = (size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING)
    canvas = Image.new("RGB", wide, _BACKGROUNDS[light.background % len(_BACKGROUNDS)])
    draw = ImageDraw.Draw(canvas)
    truth = []
    for person, placement, variation in people:
        pen = _Pen(draw, placement, variation.roll_deg)
        _draw_person(pen, person, variation)
        half_width, half_height = placement.width / 2, placement.width * 0.62
        box = (placement.x - half_width, placement.y - half_height, placement.x + half_width, placement.y + half_height)
        landmarks = tuple((float(x), float(y)) for x, y in pen.to_canvas(ARCFACE_FRAME))
        truth.append(DrawnFace(person, box, landmarks))
    canvas = canvas.resize(size, Image.Resampling.BOX)
    return _relight(canvas, light, seed=people[0][0].seed if people else 0), truth


def _relight(canvas: Image.Image, variation: Variation, seed: int) -> Image.Image:
    pixels = np.asarray(canvas, dtype=np.float32) * variation.gain
    pixels *= np.array([1 + variation.warmth, 1.0, 1 - variation.warmth], dtype=np.float32)
    if variation.noise:
        noise = np.random.default_rng(seed).normal(0, variation.noise, pixels.shape[:2])
        pixels += noise[..., None].astype(np.float32)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _shade(color: Color, factor: float) -> Color:
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in color)
    return red, green, blue


def _from_hsv(hue: float, saturation: float, value: float) -> Color:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _draw_person(pen: _Pen, person: Person, variation: Variation) -> None:
    traits = person.traits
    skin, hair = _SKINS[int(traits["skin"])], _HAIRS[int(traits["hair"])]
    rx, ry = 40 * traits["head_width"], 50 * traits["head_height"]
    _draw_head(pen, traits, skin, hair, rx, ry)
    _draw_beard(pen, traits, hair, rx)
    _draw_marks(pen, person, traits, skin)
    _draw_eyes(pen, traits, hair, variation)
    nose = traits["nose_width"]
    pen.line([(56, 58), (56 - nose * 0.4, 73), (56 + nose, 74)], 1.8, _shade(skin, traits["nose_shade"]))
    _draw_mouth(pen, traits, variation)


def _draw_head(pen: _Pen, traits: dict[str, float], skin: Color, hair: Color, rx: float, ry: float) -> None:
    style = int(traits["hair_style"])
    shoulders = _shade(_BACKGROUNDS[(style + 2) % len(_BACKGROUNDS)], 0.55)
    pen.ellipse(56, 160, 62, 44, shoulders)
    pen.polygon([(42, 100), (70, 100), (74, 132), (38, 132)], _shade(skin, 0.86))
    if style != 4:
        volume = traits["hair_volume"]
        pen.ellipse(56, 58, rx * volume, 54 * volume, hair)
        if style in (1, 3):  # long hair
            pen.polygon(
                [(56 - rx * volume, 58), (56 + rx * volume, 58), (56 + rx * 1.1, 128), (56 - rx * 1.1, 128)], hair
            )
    pen.ellipse(56 - rx, 68, 6, 9, _shade(skin, 0.92))
    pen.ellipse(56 + rx, 68, 6, 9, _shade(skin, 0.92))
    pen.ellipse(56, 68, rx, ry, skin)
    if style != 4:
        top, parting = traits["hairline"], 56 + traits["parting"]
        pen.polygon(
            [
                (56 - rx * 0.93, 46),
                (56 - rx * 0.7, 20),
                (56, 12),
                (56 + rx * 0.7, 20),
                (56 + rx * 0.93, 46),
                (56 + rx * 0.6, top + 4),
                (parting, top - 8 if style in (0, 3) else top + 6),
                (56 - rx * 0.6, top + 4),
            ],
            hair,
        )
    if int(traits["band"]) == 1:
        pen.polygon(
            [(56 - rx * 0.86, 38), (56 + rx * 0.86, 38), (56 + rx * 0.8, 30), (56 - rx * 0.8, 30)],
            _from_hsv(traits["band_hue"], 0.45, 0.75),
        )


def _draw_beard(pen: _Pen, traits: dict[str, float], hair: Color, rx: float) -> None:
    beard, color = int(traits["beard"]), _shade(hair, traits["beard_shade"])
    if beard == 1:
        pen.polygon(
            [
                (56 - rx * 0.94, 78),
                (56 - rx * 0.5, 90),
                (56 + rx * 0.5, 90),
                (56 + rx * 0.94, 78),
                (56 + rx * 0.62, 112),
                (56, 122),
                (56 - rx * 0.62, 112),
            ],
            color,
        )
    if beard in (1, 2):
        pen.polygon([(40, 87), (56, 80), (72, 87), (68, 89), (56, 85), (44, 89)], color)
    if beard == 3:
        pen.ellipse(56, 107, 11, 9, color)


def _draw_marks(pen: _Pen, person: Person, traits: dict[str, float], skin: Color) -> None:
    blush = (min(255, round(skin[0] * 1.04)), round(skin[1] * (1 - 0.18 * traits["cheeks"])), round(skin[2] * 0.93))
    pen.ellipse(29, 80, 8, 6, blush)
    pen.ellipse(83, 80, 8, 6, blush)
    if int(traits["freckles"]) == 1:
        rng = np.random.default_rng(int(traits["freckle_seed"]))
        for x, y in zip(rng.uniform(24, 88, 22), rng.uniform(66, 84, 22), strict=True):
            pen.ellipse(float(x), float(y), 1.1, 1.1, _shade(skin, 0.72))
    if int(traits["wrinkles"]) == 1:
        for y in (36.0, 41.0):
            pen.line([(38, y), (56, y - 2), (74, y)], 1.3, _shade(skin, 0.82))
    if int(traits["scar"]) == 1:
        pen.line([(80, 62), (86, 82)], 2.0, _shade(skin, 1.18))
    if traits["mole_size"] > 1.2:
        pen.ellipse(
            56 + traits["mole_x"], 66 + traits["mole_y"], traits["mole_size"], traits["mole_size"], _shade(skin, 0.4)
        )


def _draw_eyes(pen: _Pen, traits: dict[str, float], hair: Color, variation: Variation) -> None:
    size, iris = traits["eye_size"], _from_hsv(traits["iris_hue"], 0.78, 0.86)
    for side, (x, y) in ((-1, ARCFACE_FRAME[0]), (1, ARCFACE_FRAME[1])):
        pen.ellipse(x, y, 9.2 * size, 6.6 * size, (250, 250, 250))
        pen.ellipse(x + variation.gaze * 0.8, y, 5.6 * size, 5.6 * size, iris)
        pen.ellipse(x + variation.gaze * 0.8, y, 1.9, 1.9, (24, 24, 30))
        brow, tilt = y + traits["brow_height"] * size, traits["brow_tilt"]
        pen.line(
            [(x - 10, brow + tilt * 0.5 * side), (x, brow - 2), (x + 10, brow - tilt * 0.5 * side)],
            traits["brow_thickness"],
            _shade(hair, 0.8),
        )
        kind, radius = int(traits["glasses"]), traits["glasses_size"]
        if kind:
            angles = np.radians(np.linspace(0, 360, 33)) if kind != 2 else np.radians(np.arange(45, 406, 90))
            reach = radius * (1.25 if kind == 2 else 1.0)
            pen.line(
                [(x + reach * math.cos(a), y + reach * math.sin(a)) for a in angles],
                2.2 if kind != 3 else 3.6,
                (40, 40, 42) if kind != 3 else (128, 118, 100),
            )
    if int(traits["glasses"]):
        pen.line([(50, 51), (62, 51)], 2.0, (60, 60, 62))


def _draw_mouth(pen: _Pen, traits: dict[str, float], variation: Variation) -> None:
    (left, y), (right, _) = ARCFACE_FRAME[3], ARCFACE_FRAME[4]
    lips, thick, bend = _LIPS[int(traits["lips"])], traits["lip_thickness"], 3.0 * variation.smile
    middle = (left + right) / 2
    upper = [
        (left, y - bend * 0.4),
        (middle - 6, y - thick * 0.8 + bend * 0.4),
        (middle, y - thick * 0.5 + bend * 0.5),
        (middle + 6, y - thick * 0.8 + bend * 0.4),
        (right, y - bend * 0.4),
    ]
    lower = [
        (middle + 8, y + thick * 0.9 + bend * 0.6),
        (middle, y + thick * 1.1 + bend * 0.8),
        (middle - 8, y + thick * 0.9 + bend * 0.6),
    ]
    pen.polygon(upper + lower, lips)
    if variation.mouth_open > 0.6:
        pen.ellipse(middle, y + bend * 0.6, 7, 1.4, (246, 240, 236))
