"""Find faces by an inference server. What counts as good enough is decided here, by the limits of this side."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Analysis, BoundingBox, Embedding, Face, FaceAttributes, Quality
from app.errors import ImageEmpty, ImageTooLarge, InferenceUnavailable, OperatorError
from app.ml.engine import EngineInfo, ScoredEmbedding
from app.ml.finding import FoundFaces, Look
from app.ml.image import ImageLimits
from app.ml.pack_info import describe_pack
from app.ml.packs.pack import ModelPack
from app.ml.quality import QualityLimits, apply_limits
from app.ml.remote.client import InferenceClient
from app.ml.remote.wire import FoundInPhoto, PhotoOrder, SeenFace, ServerInfo, WireFace, unpack_embedding
from app.telemetry import get_logger, timed

_log = get_logger(__name__)


class RemoteFinder:
    """Implements `FaceFinder`; `packs` are those that this installation is configured with, the default one first.

    Their networks are not loaded: they say which recognizers the server must have, and what similarities mean.
    """

    def __init__(
        self,
        client: InferenceClient,
        packs: Sequence[ModelPack],
        images: ImageLimits,
        quality: QualityLimits,
        *,
        max_faces: int,
        detection_threshold: float,
    ) -> None:
        self.client = client
        self._images = images
        self._quality = quality
        self._max_faces = max_faces
        self._infos: dict[str, EngineInfo] = {}
        for pack in packs:
            info = describe_pack(
                pack, providers=("remote",), precision="unknown", detection_threshold=detection_threshold
            )
            self._infos.setdefault(pack.recognizer, info)
        client.expected_digest = self.info.digest

    @property
    def info(self) -> EngineInfo:
        return next(iter(self._infos.values()))

    @property
    def infos(self) -> Mapping[str, EngineInfo]:
        return self._infos

    def warm_up(self) -> None:
        """Check the server; one that does not respond is no error, because requests without photos need none."""
        if self.client.is_unencrypted:
            _log.warning("inference_unencrypted", url=self.client.url)
        with suppress(InferenceUnavailable):  # the client has logged it
            found = self.check()
            _log.info("inference_found", version=found.version, providers=found.providers, precision=found.precision)

    def check(self) -> ServerInfo:
        """Compare what the server has with this installation, and return it.

        Raises `OperatorError` if they differ, and `InferenceUnavailable`.
        """
        server = self.client.get_info()
        problem = self._compare(server)
        if problem is not None:
            raise OperatorError(problem)
        return server

    def find(self, data: bytes, look: Look) -> FoundFaces:
        """Find the faces of a photo at the server; raises an `ImageRefused` or `InferenceUnavailable`."""
        if not data:
            raise ImageEmpty
        if len(data) > self._images.max_bytes:
            raise ImageTooLarge(f"The image has {len(data)} bytes; the limit is {self._images.max_bytes}.")
        order = self._order(data, look)
        with timed("inference"):
            found = self.client.extract(order, data)
        sizes = [self._infos[recognizer].embedding_size for recognizer in order.recognizers]
        try:
            return self._read(found, look, sizes)
        except ValueError as exc:
            raise InferenceUnavailable(f"The inference server's answer is invalid: {exc}.") from None

    def _order(self, data: bytes, look: Look) -> PhotoOrder:
        return PhotoOrder(
            bytes=len(data),
            detail=look.detail,
            embeddable=look.embeddable,
            recognizers=list(look.recognizers.all) if look.recognizers is not None else [self.info.recognizer],
            with_attributes=look.with_attributes,
            may_turn=look.may_turn,
            seen=[
                SeenFace(
                    box=(face.box.x, face.box.y, face.box.width, face.box.height),
                    landmarks=list(face.landmarks),
                    score=face.detection_score,
                )
                for face in look.seen
            ],
            max_bytes=self._images.max_bytes,
            max_pixels=self._images.max_pixels,
            max_faces=self._max_faces,
            min_face_pixels=self._quality.min_face_pixels,
        )

    def _read(self, found: FoundInPhoto, look: Look, sizes: Sequence[int]) -> "_RemoteFaces":
        """Read an answer; raises `ValueError` if embeddings lack that should be there, or are none."""
        scored, secondary = [], []
        for face in found.faces[: look.embeddable.among(len(found.faces))]:
            if face.embedded is None or (face.embedded.secondary is None) != (len(sizes) == 1):
                raise ValueError("a face lacks an embedding")
            embedding = unpack_embedding(face.embedded.embedding, sizes[0])
            scored.append(ScoredEmbedding(embedding, face.embedded.length, face.embedded.quality_score))
            if face.embedded.secondary is not None:
                secondary.append(unpack_embedding(face.embedded.secondary, sizes[1]))
        faces = tuple(self._describe(face) for face in found.faces)
        return _RemoteFaces(Analysis(found.width, found.height, faces, left_out=found.left_out), scored, secondary)

    def _describe(self, face: WireFace) -> Face:
        attributes = face.attributes
        return Face(
            box=BoundingBox(*face.box),
            landmarks=tuple(face.landmarks),
            detection_score=face.score,
            quality=apply_limits(Quality(**face.quality.model_dump()), self._quality),
            rotation=face.rotation,
            attributes=FaceAttributes(**attributes.model_dump()) if attributes is not None else None,
        )

    def _compare(self, server: ServerInfo) -> str | None:
        """Say how the server differs from what this installation is configured with; None if it does not."""
        default, theirs = self.info, server.recognizers[0]
        if (theirs.recognizer, theirs.digest) != (default.recognizer, default.digest):
            return (
                f"The inference server at {self.client.url} runs the pack {theirs.pack} (recognizer "
                f"{theirs.recognizer}, digest {theirs.digest}); this installation is configured with {default.pack} "
                f"(recognizer {default.recognizer}, digest {default.digest}). Set the same VULTUS_MODEL_PACK on both."
            )
        has = {one.recognizer for one in server.recognizers}
        missing = [f"{info.pack} ({info.recognizer})" for info in self._infos.values() if info.recognizer not in has]
        if missing:
            return (
                f"The inference server at {self.client.url} lacks the recognizers of {', '.join(missing)}; it has "
                f"{', '.join(sorted(has))}. Set the same VULTUS_EXTRA_MODEL_PACKS on both."
            )
        if not math.isclose(server.detection_threshold, default.detection_threshold):
            return (
                f"The inference server at {self.client.url} has VULTUS_DETECTION_THRESHOLD="
                f"{server.detection_threshold:g}; this installation has {default.detection_threshold:g}."
            )
        return self._compare_limits(server)

    def _compare_limits(self, server: ServerInfo) -> str | None:
        limits = server.limits
        for name, theirs, ours in (
            ("VULTUS_MAX_IMAGE_BYTES", limits.max_image_bytes, self._images.max_bytes),
            ("VULTUS_MAX_IMAGE_PIXELS", limits.max_image_pixels, self._images.max_pixels),
            ("VULTUS_MAX_FACES_PER_IMAGE", limits.max_faces, self._max_faces),
        ):
            if theirs < ours:
                return (
                    f"The inference server at {self.client.url} has {name}={theirs}, less than {ours} here. Raise it "
                    f"there, or lower it here."
                )
        return None


@dataclass(frozen=True, slots=True)
class _RemoteFaces:
    """Implements `FoundFaces` with embeddings that came with the faces."""

    analysis: Analysis
    scored: list[ScoredEmbedding]
    secondary: list[Embedding]

    def embed(self, chosen: Sequence[int]) -> tuple[list[ScoredEmbedding], list[Embedding]]:
        secondary = [self.secondary[index] for index in chosen] if self.secondary else []
        return [self.scored[index] for index in chosen], secondary

    def measure(self, index: int) -> NDArray[np.float32]:
        raise OperatorError("Quality models are fitted where the networks are; unset VULTUS_INFERENCE_URL.")
