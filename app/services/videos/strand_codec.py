"""Write the faces that a step saw as bytes, and read them again; the bytes are encrypted before they are stored."""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.domain.faces import RelativeBox
from app.domain.videos import SeenFace


def write_faces(faces: Sequence[SeenFace]) -> bytes:
    return json.dumps([_describe(face) for face in faces]).encode()


def read_faces(data: bytes) -> list[SeenFace]:
    return [_read(described) for described in json.loads(data)]


def _describe(face: SeenFace) -> dict[str, Any]:
    box = face.box
    return {
        "at_ms": face.at_ms,
        "box": [box.left, box.top, box.width, box.height],
        "detection_score": face.detection_score,
        "quality": face.quality,
        "is_reliable": face.is_reliable,
        "embeddings": {name: b64encode(one.tobytes()).decode() for name, one in face.embeddings.items()},
        "picture": b64encode(face.picture).decode() if face.picture is not None else None,
    }


def _read(described: dict[str, Any]) -> SeenFace:
    embeddings = {
        name: np.frombuffer(b64decode(one), dtype=np.float32) for name, one in described["embeddings"].items()
    }
    return SeenFace(
        described["at_ms"],
        RelativeBox(*described["box"]),
        described["detection_score"],
        described["quality"],
        described["is_reliable"],
        embeddings,
        b64decode(described["picture"]) if described.get("picture") else None,
    )
