"""Answer calls of photos by the networks of this process; keeps no photo and no embedding after the answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version

from app.domain.collections import Recognizers
from app.domain.faces import Analysis, BoundingBox, Embedding, Face, FaceAttributes, Quality
from app.errors import ImageRefused, InternalError, InvalidParameter, Overloaded
from app.ml.engine import FaceEngine, ScoredEmbedding
from app.ml.executor import InferenceExecutor
from app.ml.finding import Look
from app.ml.image import ImageLimits
from app.ml.local_finder import LocalFinder
from app.ml.memory import is_out_of_memory
from app.ml.quality import QualityLimits
from app.ml.remote.wire import (
    MAX_HEAD_BYTES,
    MAX_PHOTOS,
    Answer,
    FoundInPhoto,
    Limits,
    PhotoAnswer,
    PhotoOrder,
    PhotoProblem,
    RecognizerInfo,
    SeenFace,
    ServerInfo,
    WireAttributes,
    WireEmbedding,
    WireFace,
    WireQuality,
    pack_embedding,
)
from app.server.request_context import describe_frames
from app.settings import Settings
from app.telemetry import get_logger

_log = get_logger(__name__)

_UNKNOWN_QUALITY = Quality(0, 0, 0, 0, 0, 0)
"""Of a face that the caller has seen before: its quality is not looked at again."""


class InferenceService:
    """Looks at the photos of a call; at most `threads` photos at a time, and `inference_queue` wait.

    A call is accepted if its photos fit into that, or if nothing else is in flight.
    """

    def __init__(self, engine: FaceEngine, quality: QualityLimits, settings: Settings, *, threads: int) -> None:
        self._engine = engine
        self._quality = quality
        self._settings = settings
        self._max_in_flight = threads + settings.inference_queue
        self._executor = InferenceExecutor(threads=threads, queue=self._max_in_flight + MAX_PHOTOS)
        self._in_flight = 0

    def warm_up(self) -> None:
        """Run every network once."""
        self._finder(self._settings.max_image_bytes, self._settings.max_image_pixels, 1, 40).warm_up()

    def close(self) -> None:
        """Stop taking photos; running ones finish."""
        self._executor.close()

    def describe(self) -> ServerInfo:
        """Describe the networks and the limits."""
        info = self._engine.info
        return ServerInfo(
            version=version("vultus"),
            recognizers=[
                RecognizerInfo(
                    recognizer=one.recognizer, pack=one.pack, digest=one.digest, embedding_size=one.embedding_size
                )
                for one in self._engine.infos.values()
            ],
            detection_threshold=info.detection_threshold,
            providers=list(info.providers),
            precision=info.precision,
            limits=Limits(
                max_photos=MAX_PHOTOS,
                max_body_bytes=self.max_body_bytes,
                max_image_bytes=self._settings.max_image_bytes,
                max_image_pixels=self._settings.max_image_pixels,
                max_faces=self._settings.max_faces_per_image,
            ),
        )

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a call: the setting, at least one photo of the largest size."""
        return max(self._settings.max_request_bytes, self._settings.max_image_bytes + MAX_HEAD_BYTES)

    def check_room(self, photos: int = 1) -> None:
        """Raise `Overloaded` if no more photos may wait."""
        if self._in_flight and self._in_flight + photos > self._max_in_flight:
            raise Overloaded(
                f"{self._in_flight} photos are in flight; with {photos} more, they would exceed the limit of "
                f"{self._max_in_flight}. Retry later.",
                retry_after_s=max(1, round(self._executor.expected_wait_s / 2)),
            )

    async def extract(self, calls: Sequence[tuple[PhotoOrder, bytes]]) -> Answer:
        """Answer a call; an unusable photo has its own problem. Raises `Overloaded` or `InvalidParameter`."""
        for order, _ in calls:
            self._check_recognizers(order)
        self.check_room(len(calls))
        self._in_flight += len(calls)
        try:
            looks = (self._executor.run(None, self._answer, order, photo) for order, photo in calls)
            answers = await asyncio.gather(*looks)
        finally:
            self._in_flight -= len(calls)
        return Answer(digest=self._engine.info.digest, photos=answers)

    def _check_recognizers(self, order: PhotoOrder) -> None:
        for recognizer in order.recognizers:
            if recognizer not in self._engine.infos:
                raise InvalidParameter(
                    f"recognizers: {recognizer[:64]!r} is not loaded here; loaded are {', '.join(self._engine.infos)}.",
                    field="recognizers",
                )

    def _answer(self, order: PhotoOrder, photo: bytes) -> PhotoAnswer:
        try:
            return PhotoAnswer(found=self._look_at(order, photo))
        except ImageRefused as exc:
            return PhotoAnswer(problem=PhotoProblem(code=exc.code, detail=exc.detail))
        except Exception as exc:
            if is_out_of_memory(exc):
                raise
            _log.error("photo_not_processed", error=type(exc).__name__, frames=describe_frames(exc))
            error = InternalError()
            return PhotoAnswer(problem=PhotoProblem(code=error.code, detail=error.detail))

    def _look_at(self, order: PhotoOrder, photo: bytes) -> FoundInPhoto:
        finder = self._finder(order.max_bytes, order.max_pixels, order.max_faces, order.min_face_pixels)
        found = finder.find(photo, _read_look(order))
        chosen = range(order.embeddable.among(len(found.analysis.faces)))
        scored, secondary = found.embed(chosen) if chosen else ([], [])
        return _describe(found.analysis, scored, secondary)

    def _finder(self, max_bytes: int, max_pixels: int, max_faces: int, min_face_pixels: float) -> LocalFinder:
        """Build a finder with the caller's limits, at most those of this server."""
        own = self._settings
        images = ImageLimits(
            max_bytes=min(max_bytes, own.max_image_bytes), max_pixels=min(max_pixels, own.max_image_pixels)
        )
        quality = replace(self._quality, min_face_pixels=min_face_pixels)
        return LocalFinder(self._engine, images, quality, max_faces=min(max_faces, own.max_faces_per_image))


def _read_look(order: PhotoOrder) -> Look:
    return Look(
        detail=order.detail,
        recognizers=Recognizers(*order.recognizers),
        embeddable=order.embeddable,
        with_attributes=order.with_attributes,
        may_turn=order.may_turn,
        seen=tuple(_read_seen(face) for face in order.seen),
    )


def _read_seen(face: SeenFace) -> Face:
    return Face(BoundingBox(*face.box), tuple(face.landmarks), face.score, _UNKNOWN_QUALITY)


def _describe(analysis: Analysis, scored: Sequence[ScoredEmbedding], secondary: Sequence[Embedding]) -> FoundInPhoto:
    embedded = [
        WireEmbedding(
            embedding=pack_embedding(one.embedding),
            length=one.length,
            quality_score=one.quality_score,
            secondary=pack_embedding(secondary[index]) if secondary else None,
        )
        for index, one in enumerate(scored)
    ]
    return FoundInPhoto(
        width=analysis.width,
        height=analysis.height,
        faces=[
            _describe_face(face, embedded[index] if index < len(embedded) else None)
            for index, face in enumerate(analysis.faces)
        ],
        left_out=analysis.left_out,
    )


def _describe_face(face: Face, embedded: WireEmbedding | None) -> WireFace:
    box, quality = face.box, face.quality
    return WireFace.model_validate(
        {
            "box": (box.x, box.y, box.width, box.height),
            "landmarks": list(face.landmarks),
            "score": face.detection_score,
            "rotation": face.rotation,
            "quality": {name: getattr(quality, name) for name in WireQuality.model_fields},
            "attributes": _describe_attributes(face.attributes),
            "embedded": embedded,
        }
    )


def _describe_attributes(attributes: FaceAttributes | None) -> WireAttributes | None:
    return WireAttributes(**asdict(attributes)) if attributes is not None else None
