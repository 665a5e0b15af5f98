"""Read the faces that a use case needs from image bytes; turn missing, several and low-quality faces into errors."""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial

from app.domain.collections import Recognizers
from app.domain.faces import Analysis, Detail, Embedding, Face, QualityBar, QualityFinding, QualityReason, RelativeBox
from app.errors import (
    FaceBlurred,
    FaceCutOff,
    FaceRefused,
    FaceTooBright,
    FaceTooDark,
    FaceTooSmall,
    FaceTurnedAway,
    FaceUncertain,
    FaceUnreliable,
    ImageRefused,
    NoFace,
    SeveralFaces,
)
from app.ml.analysis import Chooser, Embed, FaceAnalyzer
from app.ml.engine import EngineInfo
from app.ml.executor import InferenceExecutor


class FaceChoice(StrEnum):
    """Which face of an image to use."""

    ONLY = "only"
    LARGEST = "largest"


@dataclass(frozen=True, slots=True)
class FoundFace:
    """One face of an image, its embeddings by recognizer, and its box relative to the image size."""

    face: Face
    embeddings: Mapping[str, Embedding] = field(repr=False)
    box: RelativeBox


@dataclass(frozen=True, slots=True)
class FaceLimits:
    """Which faces to use: those with at least this detection score, at most `max_faces`, the largest first."""

    min_score: float = 0.0
    max_faces: int | None = None

    def choose(self, faces: Sequence[Face]) -> list[int]:
        """Return the indexes of the faces to use; `faces` holds the largest first."""
        certain = [index for index, face in enumerate(faces) if face.detection_score >= self.min_score]
        return certain[: self.max_faces]


class FaceReader:
    """Run the analyzer on the inference pool on behalf of one tenant; holds no database connection.

    `by` names the recognizer that computes the embeddings; by default the server's first. Every method that reads an
    image raises `ImageRefused` for an unusable one, `Overloaded` if the queue is full, and `ClientDisconnected`.
    """

    def __init__(
        self,
        executor: InferenceExecutor,
        analyzer: FaceAnalyzer,
        tenant: Hashable = None,
        disconnect: "asyncio.Future[None] | None" = None,
        *,
        is_background: bool = False,
    ) -> None:
        self._executor = executor
        self._is_background = is_background
        self._analyzer = analyzer
        self._tenant = tenant
        self._disconnect = disconnect

    def for_tenant(self, tenant: Hashable, disconnect: "asyncio.Future[None]") -> "FaceReader":
        """Return a reader that waits in the tenant's own queue, and leaves it when `disconnect` completes."""
        return FaceReader(self._executor, self._analyzer, tenant, disconnect)

    def in_background(self) -> "FaceReader":
        """Return a reader whose work gives way to requests and waits as long as it takes."""
        return FaceReader(self._executor, self._analyzer, is_background=True)

    @property
    def threads(self) -> int:
        """How many images are analyzed at the same time."""
        return self._executor.threads

    @property
    def engine(self) -> EngineInfo:
        """The server's first recognizer."""
        return self._analyzer.engine.info

    def judge(self, face: Face, bar: QualityBar) -> tuple[QualityFinding, ...]:
        """List the reasons why a face fails the quality bar; empty if it passes."""
        return self._analyzer.judge(face, bar)

    async def detect(
        self, image: bytes, detail: Detail = Detail.STANDARD, *, with_attributes: bool = False
    ) -> Analysis:
        """Find all faces; each is embedded if that tells more about its quality."""
        embed = Embed.ALL if self.engine.rates_quality else Embed.NONE
        analyze = self._analysis(with_attributes=with_attributes)
        return await self._run(analyze, image, embed, detail, None)

    async def extract(self, image: bytes, detail: Detail = Detail.STANDARD, *, by: str | None = None) -> Analysis:
        """Find all faces with their embeddings; possibly none."""
        return await self._analyze(image, Embed.ALL, detail, _only(by))

    async def read_all(self, image: bytes, detail: Detail = Detail.STANDARD, *, by: str | None = None) -> Analysis:
        """Find all faces with their embeddings; raises `NoFace` if there are none."""
        analysis = await self.extract(image, detail, by=by)
        if not analysis.faces:
            raise NoFace
        return analysis

    async def extract_each(
        self, images: Sequence[bytes | ImageRefused], detail: Detail, *, by: str | None = None
    ) -> list[Analysis | ImageRefused]:
        """Extract the faces of each image, in order; an unusable or already refused image yields its error.

        Runs at most one image per inference thread, so that a batch fills the cores but not the queue. Errors that
        affect the whole call, such as `Overloaded`, are raised.
        """
        results: dict[int, Analysis | ImageRefused] = {}
        remaining = iter(enumerate(images))

        async def extract_remaining() -> None:
            for index, image in remaining:
                if isinstance(image, ImageRefused):
                    results[index] = image
                    continue
                try:
                    results[index] = await self.extract(image, detail, by=by)
                except ImageRefused as exc:
                    results[index] = exc

        workers = [asyncio.create_task(extract_remaining()) for _ in range(min(self._executor.threads, len(images)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        return [results[index] for index in range(len(images))]

    async def read_probe(self, image: bytes, choice: FaceChoice, *, by: str | None = None) -> tuple[Face, Embedding]:
        """Find the only or the largest face, regardless of its quality; raises `NoFace` or `SeveralFaces`."""
        analysis = await self.read_largest(image, by=by)
        return _choose(analysis, choice), analysis.embeddings[0]

    async def read_largest(self, image: bytes, *, by: str | None = None) -> Analysis:
        """Find all faces, with the embedding of the largest; possibly none."""
        return await self._analyze(image, Embed.LARGEST, Detail.STANDARD, _only(by))

    async def read_limited(self, image: bytes, limits: FaceLimits, *, by: str) -> Analysis:
        """Find all faces, with embeddings of those within the limits."""
        return await self._analyze(image, limits.choose, Detail.STANDARD, Recognizers(by))

    async def read_for_registration(
        self, image: bytes, choice: FaceChoice, recognizers: Recognizers, *, min_score: float = 0.0
    ) -> FoundFace:
        """Find the face to store; faces with a detection score below `min_score` do not count.

        Raises `NoFace`, `SeveralFaces`, or the `FaceRefused` of the first quality finding.
        """
        embed: Embed | Chooser = Embed.ONLY if choice is FaceChoice.ONLY else Embed.LARGEST_ACCEPTABLE
        limits = FaceLimits(min_score, 1 if choice is FaceChoice.LARGEST else None)
        if min_score > 0:
            embed = limits.choose
        analysis = await self._analyze(image, embed, Detail.STANDARD, recognizers)
        if min_score > 0:
            analysis = replace(analysis, faces=tuple(analysis.faces[index] for index in limits.choose(analysis.faces)))
        face = _choose(analysis, choice)
        if face.quality.findings:
            raise quality_error(face.quality.findings[0])
        (embeddings,) = by_recognizer(analysis, recognizers)
        return FoundFace(face, embeddings, face.box.relative_to(analysis.width, analysis.height))

    async def extract_chosen(
        self,
        image: bytes,
        choose: Chooser,
        recognizers: Recognizers | None = None,
        *,
        with_attributes: bool = False,
        may_turn: bool = True,
    ) -> Analysis:
        """Find all faces, with embeddings of the faces whose indexes `choose` returns, in that order.

        Without `may_turn`, the image is upright: faces are looked for in no other turn.
        """
        analyze = self._analysis(with_attributes=with_attributes, may_turn=may_turn)
        return await self._run(analyze, image, choose, Detail.STANDARD, recognizers)

    async def cut_faces(self, image: bytes, faces: Sequence[Face]) -> list[bytes]:
        """Return a small JPEG of each face that was found in the image."""
        cut = self._analyzer.cut_faces
        if self._is_background:
            return await self._executor.run_in_background(cut, image, faces)
        return await self._executor.run_for(self._tenant, self._disconnect, cut, image, faces)

    async def _analyze(
        self, image: bytes, embed: Embed | Chooser, detail: Detail, recognizers: Recognizers | None = None
    ) -> Analysis:
        return await self._run(self._analyzer.analyze, image, embed, detail, recognizers)

    def _analysis(self, *, with_attributes: bool = False, may_turn: bool = True) -> Callable[..., Analysis]:
        """Return the analysis with the options that differ from its defaults."""
        analyze: Callable[..., Analysis] = self._analyzer.analyze
        if with_attributes:
            analyze = partial(analyze, with_attributes=True)
        return analyze if may_turn else partial(analyze, may_turn=False)

    async def _run(
        self,
        analyze: Callable[..., Analysis],
        image: bytes,
        embed: Embed | Chooser,
        detail: Detail,
        recognizers: Recognizers | None,
    ) -> Analysis:
        if self._is_background:
            return await self._executor.run_in_background(analyze, image, embed, detail, recognizers)
        return await self._executor.run_for(self._tenant, self._disconnect, analyze, image, embed, detail, recognizers)


def by_recognizer(analysis: Analysis, recognizers: Recognizers) -> list[dict[str, Embedding]]:
    """Return the embeddings of each embedded face, by recognizer."""
    computed = (analysis.embeddings, analysis.secondary)[: len(recognizers.all)]
    return [dict(zip(recognizers.all, of_face, strict=True)) for of_face in zip(*computed, strict=True)]


def _only(by: str | None) -> Recognizers | None:
    return Recognizers(by) if by is not None else None


def _choose(analysis: Analysis, choice: FaceChoice) -> Face:
    if not analysis.faces:
        raise NoFace
    if choice is FaceChoice.ONLY and len(analysis.faces) > 1:
        raise SeveralFaces(
            f"The image shows {len(analysis.faces)} faces; send an image of one person, or set face=largest."
        )
    return analysis.faces[0]


def quality_error(finding: QualityFinding) -> FaceRefused:
    """Describe a quality finding as an error whose detail states the measured value and the limit."""
    is_share = finding.reason in (QualityReason.UNCERTAIN, QualityReason.CUT_OFF)
    value, limit = _format_violation(finding.value, finding.limit, min_decimals=2 if is_share else 0)
    error, detail = _QUALITY_ERRORS[finding.reason]
    return error(detail.format(value=value, limit=limit))


_QUALITY_ERRORS: dict[QualityReason, tuple[type[FaceRefused], str]] = {
    QualityReason.TOO_SMALL: (FaceTooSmall, "The face is {value} px wide or high; at least {limit} px are needed."),
    QualityReason.BLURRED: (FaceBlurred, "The face's sharpness is {value}; at least {limit} is needed."),
    QualityReason.TOO_DARK: (
        FaceTooDark,
        "The face's mean brightness is {value} of 255; at least {limit} is needed.",
    ),
    QualityReason.TOO_BRIGHT: (
        FaceTooBright,
        "The face's mean brightness is {value} of 255; at most {limit} is allowed.",
    ),
    QualityReason.TURNED_AWAY: (
        FaceTurnedAway,
        "The face is turned by {value} degrees; at most {limit} are allowed.",
    ),
    QualityReason.CUT_OFF: (
        FaceCutOff,
        "Only {value} of the face lies within the photo; at least {limit} is needed.",
    ),
    QualityReason.UNCERTAIN: (FaceUncertain, "The face's detection score is {value}; at least {limit} is needed."),
    QualityReason.UNRELIABLE: (
        FaceUnreliable,
        "The face's quality score is {value} of 100; at least {limit} is needed. Send a sharp photo of the whole face.",
    ),
}


def _format_violation(value: float, limit: float, *, min_decimals: int) -> tuple[str, str]:
    """Format a value and the limit that it violates, the value with enough decimals to lie beyond the limit."""
    shown_limit = f"{limit:.10g}"
    for decimals in range(min_decimals, 18):
        shown = f"{value:.{decimals}f}"
        if all((float(shown) - bound) * (value - limit) > 0 for bound in (limit, float(shown_limit))):
            return shown, shown_limit
    return repr(value), repr(limit)
