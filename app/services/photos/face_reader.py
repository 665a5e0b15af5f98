"""From image bytes to the faces a use case wants; where "no face", "several" and "too blurred" become errors."""

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from app.domain.collections import Recognizers
from app.domain.faces import Analysis, Detail, Embedding, Face, QualityBar, QualityFinding, QualityReason, RelativeBox
from app.errors import (
    FaceBlurred,
    FaceRefused,
    FaceTooBright,
    FaceTooDark,
    FaceTooSmall,
    FaceTurnedAway,
    FaceUncertain,
    ImageRefused,
    NoFace,
    SeveralFaces,
)
from app.ml.analysis import Chooser, Embed, FaceAnalyzer
from app.ml.engine import EngineInfo
from app.ml.executor import InferenceExecutor


class FaceChoice(StrEnum):
    """Which face of an image is meant."""

    ONLY = "only"
    LARGEST = "largest"


@dataclass(frozen=True, slots=True)
class FoundFace:
    """One face of an image with its embeddings by recognizer, and where in the image it is."""

    face: Face
    embeddings: Mapping[str, Embedding] = field(repr=False)
    box: RelativeBox


class FaceReader:
    """Runs the analyzer on the inference pool, on behalf of one tenant; holds no database connection.

    `by` names the recognizer whose embeddings are wanted; without it they are the first's.
    """

    def __init__(
        self,
        executor: InferenceExecutor,
        analyzer: FaceAnalyzer,
        tenant: Hashable = None,
        departed: "asyncio.Future[None] | None" = None,
    ) -> None:
        self._executor = executor
        self._analyzer = analyzer
        self._tenant = tenant
        self._departed = departed

    def on_behalf_of(self, tenant: Hashable, departed: "asyncio.Future[None]") -> "FaceReader":
        """The same reader, waiting in the tenant's own line, until its caller has `departed`."""
        return FaceReader(self._executor, self._analyzer, tenant, departed)

    @property
    def engine(self) -> EngineInfo:
        """The first recognizer."""
        return self._analyzer.engine.info

    def judge(self, face: Face, bar: QualityBar) -> tuple[QualityFinding, ...]:
        """What keeps a face below a bar; empty: nothing."""
        return self._analyzer.judge(face, bar)

    async def detect(self, image: bytes, detail: Detail = Detail.STANDARD) -> Analysis:
        """All faces, without embeddings."""
        return await self._analyze(image, Embed.NONE, detail)

    async def extract(self, image: bytes, detail: Detail = Detail.STANDARD, *, by: str | None = None) -> Analysis:
        """All faces with their embeddings; there may be none."""
        return await self._analyze(image, Embed.ALL, detail, _one(by))

    async def read_all(self, image: bytes, detail: Detail = Detail.STANDARD, *, by: str | None = None) -> Analysis:
        """All faces with their embeddings; raises `NoFace`."""
        analysis = await self.extract(image, detail, by=by)
        if not analysis.faces:
            raise NoFace
        return analysis

    async def extract_each(
        self, images: Sequence[bytes], detail: Detail, *, by: str | None = None
    ) -> list[Analysis | ImageRefused]:
        """`extract` for each image, in order; an image that cannot be used stands as its error.

        As many at a time as inferences run, so that a batch fills the cores and not the queue. Raises what is wrong
        with the call as a whole, `Overloaded` say.
        """
        results: dict[int, Analysis | ImageRefused] = {}
        left = iter(enumerate(images))

        async def work_off() -> None:
            for index, image in left:
                try:
                    results[index] = await self.extract(image, detail, by=by)
                except ImageRefused as exc:
                    results[index] = exc

        lanes = [asyncio.create_task(work_off()) for _ in range(min(self._executor.threads, len(images)))]
        try:
            await asyncio.gather(*lanes)
        finally:
            for lane in lanes:
                lane.cancel()
        return [results[index] for index in range(len(images))]

    async def read_probe(self, image: bytes, choice: FaceChoice, *, by: str | None = None) -> tuple[Face, Embedding]:
        """The one face (or the largest) to compare, whatever its quality; raises `NoFace` or `SeveralFaces`."""
        analysis = await self.read_largest(image, by=by)
        return _choose(analysis, choice), analysis.embeddings[0]

    async def read_largest(self, image: bytes, *, by: str | None = None) -> Analysis:
        """All faces, with the embedding of the largest; there may be none."""
        return await self._analyze(image, Embed.LARGEST, Detail.STANDARD, _one(by))

    async def read_for_registration(self, image: bytes, choice: FaceChoice, recognizers: Recognizers) -> FoundFace:
        """The face to store; raises also the `FaceRefused` of the first thing wrong with its quality."""
        embed = Embed.ONLY if choice is FaceChoice.ONLY else Embed.LARGEST_ACCEPTABLE
        analysis = await self._analyze(image, embed, Detail.STANDARD, recognizers)
        face = _choose(analysis, choice)
        if face.quality.findings:
            raise refusal(face.quality.findings[0])
        (embeddings,) = by_recognizer(analysis, recognizers)
        return FoundFace(face, embeddings, face.box.relative_to(analysis.width, analysis.height))

    async def extract_chosen(self, image: bytes, choose: Chooser, recognizers: Recognizers | None = None) -> Analysis:
        """All faces, with the embeddings of those that `choose` names by their place, in its order."""
        return await self._analyze(image, choose, Detail.STANDARD, recognizers)

    async def _analyze(
        self, image: bytes, embed: Embed | Chooser, detail: Detail, recognizers: Recognizers | None = None
    ) -> Analysis:
        analyze = self._analyzer.analyze
        return await self._executor.run_for(self._tenant, self._departed, analyze, image, embed, detail, recognizers)


def by_recognizer(analysis: Analysis, recognizers: Recognizers) -> list[dict[str, Embedding]]:
    """Each embedded face's embeddings, by the recognizer that made them."""
    made = (analysis.embeddings, analysis.secondary)[: len(recognizers.all)]
    return [dict(zip(recognizers.all, own, strict=True)) for own in zip(*made, strict=True)]


def _one(by: str | None) -> Recognizers | None:
    return Recognizers(by) if by is not None else None


def _choose(analysis: Analysis, choice: FaceChoice) -> Face:
    if not analysis.faces:
        raise NoFace
    if choice is FaceChoice.ONLY and len(analysis.faces) > 1:
        raise SeveralFaces(f"The image shows {len(analysis.faces)} faces; send one, or ask with face=largest.")
    return analysis.faces[0]


def refusal(finding: QualityFinding) -> FaceRefused:
    """What is wrong with a face, as an error that names the value and the limit."""
    value, limit = f"{finding.value:.0f}", f"{finding.limit:g}"
    match finding.reason:
        case QualityReason.TOO_SMALL:
            return FaceTooSmall(f"The face is {value} px wide or high; at least {limit} px are needed.")
        case QualityReason.BLURRED:
            return FaceBlurred(f"The face's sharpness is {value}; at least {limit} is needed.")
        case QualityReason.TOO_DARK:
            return FaceTooDark(f"The face's mean brightness is {value} of 255; at least {limit} is needed.")
        case QualityReason.TOO_BRIGHT:
            return FaceTooBright(f"The face's mean brightness is {value} of 255; at most {limit} is allowed.")
        case QualityReason.TURNED_AWAY:
            return FaceTurnedAway(f"The face is turned by {value} degrees; at most {limit} are allowed.")
        case QualityReason.UNCERTAIN:
            return FaceUncertain(f"The detector is {finding.value:.2f} sure that it is a face; {limit} is needed.")
