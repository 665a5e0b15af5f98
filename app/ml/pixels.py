"""Name the array types that the pipeline passes on; without code, so that every module can import them."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""A picture or a part of one: (height, width, 3), uint8, BGR."""

Box = tuple[float, float, float, float]
"""`(x1, y1, x2, y2)` in pixels of the upright picture, from its top left corner."""

CROP_SIDE = 112
"""Side of an aligned face in pixels; what ArcFace models expect."""

Crop = NDArray[np.uint8]
"""An aligned face: (112, 112, 3), uint8, BGR, with eyes and mouth at ArcFace's positions."""
