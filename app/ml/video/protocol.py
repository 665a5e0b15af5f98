"""What the decoding process is told and what it answers: one JSON line of orders, then answers with their bytes."""

import json
import struct
from dataclasses import asdict, dataclass
from typing import IO, Any

_HEAD = struct.Struct("<4sI")
_MAX_JSON_BYTES = 64 * 1024

FRAME, FACTS, PROBLEM, END = b"FRAM", b"FACT", b"PROB", b"END "


@dataclass(frozen=True, slots=True)
class Orders:
    """Decode the frames from `begin_ms` up to but not including `end_ms` of the file with descriptor `file`.

    With `probe`, only the facts are read. A frame is scaled down to `max_side` pixels on its longer side.
    """

    file: int
    probe: bool = False
    begin_ms: int = 0
    end_ms: int = 0
    per_second: float = 2.0
    keyframes_only: bool = False
    max_side: int = 1920
    max_frame_pixels: int = 4096 * 2304
    max_streams: int = 64
    max_frames: int = 60_000
    """Of one part: a thousand a second, for parts of a minute."""

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> "Orders":
        return cls(**json.loads(text))


def write_json(out: IO[bytes], kind: bytes, value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    out.write(_HEAD.pack(kind, len(body)) + body)


def write_frame(out: IO[bytes], at_ms: int, picture: bytes) -> None:
    """Write a frame: its time and a picture that any decoder of photos reads."""
    out.write(_HEAD.pack(FRAME, len(picture) + 8) + struct.pack("<q", at_ms))
    out.write(picture)


def read_head(head: bytes) -> tuple[bytes, int]:
    """Parse the head of an answer: its kind and how many bytes follow; raises `ValueError`."""
    kind, size = _HEAD.unpack(head)
    if kind not in (FRAME, FACTS, PROBLEM, END) or (kind != FRAME and size > _MAX_JSON_BYTES):
        raise ValueError("the decoder answered nonsense")
    return kind, size


HEAD_BYTES = _HEAD.size


def read_frame(body: bytes) -> tuple[int, bytes]:
    """Split a frame's answer into its time in milliseconds and the picture."""
    return struct.unpack_from("<q", body)[0], body[8:]
