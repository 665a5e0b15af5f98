"""Define what goes over the wire between Vultus and its inference server; both sides read and write it here.

A call is a body: 4 bytes with the length of its head, big-endian; the head, a `Call` in JSON; then the photos, one
after the other, as long as the head says. The answer is an `Answer` in JSON. Embeddings are base64 of float32,
little-endian.
"""

import base64
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from app.domain.faces import Detail, Embedding
from app.ml.finding import Embeddable

PHOTOS_TYPE = "application/vnd.vultus.photos"
"""Media type of a call."""
MAX_PHOTOS = 16
MAX_HEAD_BYTES = 1024 * 1024
_LENGTH_BYTES = 4

Coordinate = Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)]
"""In pixels; hundreds of times what the largest photo has, so that whatever is computed of it stays finite."""
Corners = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
Landmarks = Annotated[list[tuple[Coordinate, Coordinate]], Field(min_length=5, max_length=5)]


class Asked(BaseModel):
    """What a caller sends: an unknown field is refused, because the server could not do what it means."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Answered(BaseModel):
    """What a server sends: unknown fields are ignored, so that a server may be newer than its callers."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class SeenFace(Asked):
    """A face of an earlier look: `(x, y, width, height)` and landmarks in pixels."""

    box: Corners
    landmarks: Landmarks
    score: FiniteFloat


class PhotoOrder(Asked):
    """How to look at one photo, and how long it is in bytes."""

    bytes: int = Field(ge=0)
    detail: Detail
    embeddable: Embeddable
    recognizers: list[str] = Field(min_length=1, max_length=2)
    """The recognizer in use, then possibly the secondary one."""
    with_attributes: bool
    may_turn: bool
    seen: list[SeenFace]
    max_bytes: int = Field(gt=0)
    max_pixels: int = Field(gt=0)
    max_faces: int = Field(gt=0)
    min_face_pixels: FiniteFloat = Field(ge=0)


class Call(Asked):
    """The head of a call."""

    photos: list[PhotoOrder] = Field(min_length=1, max_length=MAX_PHOTOS)


class WireEmbedding(Answered):
    """An embedding with its length before normalization, and the quality score if the recognizer has a model."""

    embedding: str = Field(repr=False)
    length: FiniteFloat
    quality_score: FiniteFloat | None
    secondary: str | None = Field(repr=False)
    """The embedding of the secondary recognizer, if the order names one."""


class WireQuality(Answered):
    """Measurements of a face; the caller compares them with its own limits."""

    face_pixels: FiniteFloat
    sharpness: FiniteFloat
    brightness: FiniteFloat
    yaw_deg: FiniteFloat
    pitch_deg: FiniteFloat
    roll_deg: FiniteFloat
    visible_share: FiniteFloat


class WireAttributes(Answered):
    """Age and gender as a network estimates them."""

    age: int
    is_male: bool
    gender_score: FiniteFloat


class WireFace(Answered):
    """One face: `(x, y, width, height)` and landmarks in pixels of the upright photo."""

    box: Corners
    landmarks: Landmarks
    score: FiniteFloat
    rotation: Literal[0, 90, 180, 270]
    quality: WireQuality
    attributes: WireAttributes | None = Field(repr=False)
    embedded: WireEmbedding | None


class FoundInPhoto(Answered):
    """The faces of one photo, largest first."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    faces: list[WireFace]
    left_out: int = Field(ge=0)


class PhotoProblem(Answered):
    """Why a photo could not be used: the code of an `ImageRefused`, or `internal_error`."""

    code: str
    detail: str


class PhotoAnswer(Answered):
    """The faces of one photo, or its problem."""

    found: FoundInPhoto | None = None
    problem: PhotoProblem | None = None

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.found is None) == (self.problem is None):
            raise ValueError("an answer has either faces or a problem")
        return self


class Answer(Answered):
    """The answers to a call, in its order; `digest` is that of the pack that gave them."""

    digest: str
    photos: list[PhotoAnswer]


class Limits(Answered):
    """What an inference server accepts at most."""

    max_photos: int = Field(gt=0)
    max_body_bytes: int = Field(gt=0)
    max_image_bytes: int = Field(gt=0)
    max_image_pixels: int = Field(gt=0)
    max_faces: int = Field(gt=0)


class RecognizerInfo(Answered):
    """One recognizer of an inference server."""

    recognizer: str
    pack: str
    digest: str
    embedding_size: int


class ServerInfo(Answered):
    """What an inference server has and accepts; its first recognizer is the default one."""

    version: str
    recognizers: list[RecognizerInfo] = Field(min_length=1)
    detection_threshold: FiniteFloat
    providers: list[str]
    precision: str
    limits: Limits


def pack_call(orders: Sequence[PhotoOrder], photos: Sequence[bytes]) -> bytes:
    """Build the body of a call."""
    head = Call(photos=list(orders)).model_dump_json().encode()
    return b"".join((len(head).to_bytes(_LENGTH_BYTES, "big"), head, *photos))


def unpack_call(body: bytes) -> list[tuple[PhotoOrder, bytes]]:
    """Return the orders with their photos; raises `ValueError` if the body is not a call."""
    length = int.from_bytes(body[:_LENGTH_BYTES], "big")
    if len(body) < _LENGTH_BYTES or length > min(MAX_HEAD_BYTES, len(body) - _LENGTH_BYTES):
        raise ValueError(f"the head of {length} bytes is longer than the body or than {MAX_HEAD_BYTES} bytes")
    position = _LENGTH_BYTES + length
    call = Call.model_validate_json(body[_LENGTH_BYTES:position])
    announced, sent = sum(order.bytes for order in call.photos), len(body) - position
    if announced != sent:
        raise ValueError(f"the photos have {sent} bytes, but {announced} were announced")
    found = []
    for order in call.photos:
        found.append((order, body[position : position + order.bytes]))
        position += order.bytes
    return found


def pack_embedding(embedding: Embedding) -> str:
    """Encode an embedding."""
    return base64.b64encode(embedding.astype("<f4").tobytes()).decode()


def unpack_embedding(text: str, size: int) -> Embedding:
    """Decode an embedding of `size` numbers; raises `ValueError` unless it has that size and unit length."""
    embedding = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
    if embedding.shape != (size,) or not abs(float(np.linalg.norm(embedding)) - 1.0) < 1e-3:
        raise ValueError(f"an embedding does not have {size} numbers and unit length")
    return embedding
