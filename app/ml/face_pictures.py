"""Cut the faces out of a photo as small pictures, for albums that keep them."""

from collections.abc import Sequence

import cv2
import numpy as np

from app.domain.faces import Face
from app.ml.engine import Detection
from app.ml.photo import Photo
from app.ml.turns import view_upright

SIDE = 160
"""Pixels of a picture's width and height."""
_MARGIN = 1.4
"""How much wider than the longer side of the face's box a picture is."""
_JPEG_QUALITY = 85


def cut_faces(photo: Photo, faces: Sequence[Face]) -> list[bytes]:
    """Return a JPEG of each face, upright, `SIDE` pixels wide and high; raises `ImageTruncated`."""
    return [_cut(photo, face) for face in faces]


def _cut(photo: Photo, face: Face) -> bytes:
    box = face.box
    corners = (box.x, box.y, box.x + box.width, box.y + box.height)
    landmarks = np.array(face.landmarks, dtype=np.float32)
    detection = Detection(corners, landmarks, face.detection_score, rotation=face.rotation)
    view, (left, top, right, bottom) = view_upright(photo, detection)
    half = max(right - left, bottom - top, 1.0) * _MARGIN / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    pixels = view.render((x - half, y - half, x + half, y + half), SIDE, SIDE)
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1])
