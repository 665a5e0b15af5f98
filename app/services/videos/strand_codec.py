"""Write the faces that a step saw as bytes, and read them again; the bytes are encrypted before they are stored."""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.domain.faces import RelativeBox
from app.domain.videos import SeenFace, TrackedFace


def write_strand(faces: Sequence[SeenFace], track: Sequence[TrackedFace] = ()) -> bytes:
    described = [[one.at_ms, *_corners(one.box), one.detection_score] for one in track]
    return json.dumps({"faces": [_describe(face) for face in faces], "track": described}).encode()


def read_strand(data: bytes) -> tuple[list[SeenFace], list[TrackedFace]]:
    read = json.loads(data)
    if isinstance(read, list):  # written by an earlier version
        read = {"faces": read, "track": []}
    track = [TrackedFace(at_ms, RelativeBox(*box), score) for at_ms, *box, score in read["track"]]
    return [_read(described) for described in read["faces"]], track


def _describe(face: SeenFace) -> dict[str, Any]:
    return {
        "at_ms": face.at_ms,
        "box": _corners(face.box),
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


def _corners(box: RelativeBox) -> list[float]:
    return [box.left, box.top, box.width, box.height]
