"""Recognize, verify and compare the faces of images."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.decisions import Candidate, Decision, DecisionLimit, GalleryScale
from app.domain.faces import Analysis, Detail, Embedding, Face
from app.errors import AppError, FaceNotFound, ImageRefused, NoFace, about_image
from app.matcher.similarity import cosine_similarity
from app.matcher.tenant_search import TenantSearch
from app.matcher.thresholds import DecidedCandidate, Thresholds, decide_all, decide_candidate, limit_decision
from app.services.collections.decisions import DecisionMaker
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.photos.face_reader import FaceChoice, FaceReader


@dataclass(frozen=True, slots=True)
class RecognizedFace:
    """One face of the image with its candidates, best first."""

    face: Face
    candidates: list[DecidedCandidate]


@dataclass(frozen=True, slots=True)
class Recognition:
    """The recognized faces of one image of this size in pixels; `left_out` more were found."""

    width: int
    height: int
    thresholds: Thresholds
    recognizer: str
    faces: list[RecognizedFace]
    left_out: int


@dataclass(frozen=True, slots=True)
class Verification:
    """The decision whether a face is the claimed subject's."""

    face: Face
    decided: DecidedCandidate
    thresholds: Thresholds
    recognizer: str


@dataclass(frozen=True, slots=True)
class ComparedFace:
    """One face of the target image, compared with the source's."""

    face: Face
    similarity: float
    decision: Decision
    false_match_rate: float | None
    limits: tuple[DecisionLimit, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The source's largest face, and the faces of the target, most similar first; `left_out` more were found."""

    source: Face
    thresholds: Thresholds
    recognizer: str
    targets: list[ComparedFace]
    left_out: int


class RecognitionService:
    """Recognize and verify faces; stores nothing."""

    def __init__(
        self,
        faces: FaceReader,
        galleries: GalleryLookup,
        search: TenantSearch,
        *,
        decisions: DecisionMaker,
    ) -> None:
        self._faces = faces
        self._galleries = galleries
        self._search = search
        self._decisions = decisions

    async def recognize(
        self, image: bytes, *, collection: str, limit: int, threshold: float | None, detail: Detail
    ) -> Recognition:
        """Find the `limit` best candidates for every face of the image, if any; raises `CollectionNotFound`."""
        gallery = await self._galleries.find(collection)
        analysis = await self._faces.extract(image, detail, by=gallery.recognizer)
        identified = await self._search.identify(gallery, analysis.embeddings, limit)
        thresholds = self._decisions.thresholds(gallery.recognizer, identified.scale, threshold)
        return _describe(analysis, identified.ranked, thresholds, gallery.recognizer)

    async def recognize_each(
        self,
        images: Sequence[bytes | ImageRefused],
        *,
        collection: str,
        limit: int,
        threshold: float | None,
        detail: Detail,
    ) -> list[Recognition | ImageRefused]:
        """Recognize the faces of several images, in order; an unusable image yields its error."""
        gallery = await self._galleries.find(collection)
        analyses = await self._faces.extract_each(images, detail, by=gallery.recognizer)
        probes = [probe for analysis in analyses if isinstance(analysis, Analysis) for probe in analysis.embeddings]
        identified = await self._search.identify(gallery, probes, limit)
        ranked = iter(identified.ranked)
        thresholds = self._decisions.thresholds(gallery.recognizer, identified.scale, threshold)
        return [
            analysis
            if isinstance(analysis, ImageRefused)
            else _describe(analysis, [next(ranked) for _ in analysis.faces], thresholds, gallery.recognizer)
            for analysis in analyses
        ]

    async def verify(
        self, image: bytes, *, collection: str, subject: str, threshold: float | None, choice: FaceChoice
    ) -> Verification:
        """Compare the image's face with the subject's most similar template.

        Raises `NoFace`, `SeveralFaces`, `CollectionNotFound`, `SubjectNotFound` or `FaceNotFound`.
        """
        gallery, subject_id = await self._galleries.find_subject(collection, subject)
        face, embedding = await self._faces.read_probe(image, choice, by=gallery.recognizer)
        compared = await self._search.compare(gallery, subject_id, embedding)
        if compared is None:
            raise FaceNotFound(f"Subject {subject!r} has no face registered with the recognizer in use.")
        thresholds = self._decisions.one_to_one(gallery.recognizer, compared.scale, threshold)
        decided = decide_candidate(compared.candidate, thresholds, is_probe_reliable=face.quality.is_reliable)
        return Verification(face, decided, thresholds, gallery.recognizer)

    async def compare(self, source: bytes, target: bytes, *, threshold: float | None) -> Comparison:
        """Compare the source's largest face with every face of the target; raises `NoFace` if either has none."""
        with about_image("source"):
            probe = await self._faces.read_probe(source, FaceChoice.LARGEST)
        with about_image("target"):
            analysis = await self._faces.read_all(target)
        return self._compare(probe, analysis, threshold)

    async def compare_each(
        self, source: bytes, targets: Sequence[bytes | ImageRefused], *, threshold: float | None
    ) -> list[Comparison | AppError]:
        """Compare the source's largest face with the faces of each target, in order.

        A target that is unusable or has no face yields its error; raises `NoFace` if the source has none.
        """
        with about_image("source"):
            probe = await self._faces.read_probe(source, FaceChoice.LARGEST)
        return [
            analysis
            if isinstance(analysis, AppError)
            else (self._compare(probe, analysis, threshold) if analysis.faces else NoFace())
            for analysis in await self._faces.extract_each(targets, Detail.STANDARD)
        ]

    def _compare(self, probe: tuple[Face, Embedding], target: Analysis, threshold: float | None) -> Comparison:
        face, embedding = probe
        recognizer = self._faces.engine.recognizer
        thresholds = self._decisions.one_to_one(recognizer, GalleryScale(len(target.faces)), threshold)
        similarities = [cosine_similarity(embedding, other) for other in target.embeddings]
        targets = [
            _decide_pair(face, other, similarity, thresholds)
            for other, similarity in zip(target.faces, similarities, strict=True)
        ]
        targets.sort(key=lambda compared: -compared.similarity)
        return Comparison(face, thresholds, recognizer, targets, target.left_out)


def _decide_pair(source: Face, target: Face, similarity: float, thresholds: Thresholds) -> ComparedFace:
    """Decide on two faces of photos; either may be of too low quality for a match."""
    limits = tuple(
        limit
        for limit, face in ((DecisionLimit.PROBE_QUALITY, source), (DecisionLimit.TEMPLATE_QUALITY, target))
        if not face.quality.is_reliable
    )
    return ComparedFace(
        target, similarity, *limit_decision(thresholds.decide(similarity), similarity, thresholds, limits)
    )


def _describe(
    analysis: Analysis, ranked: Sequence[list[Candidate]], thresholds: Thresholds, recognizer: str
) -> Recognition:
    found = [
        RecognizedFace(face, decide_all(candidates, thresholds, is_probe_reliable=face.quality.is_reliable))
        for face, candidates in zip(analysis.faces, ranked, strict=True)
    ]
    return Recognition(analysis.width, analysis.height, thresholds, recognizer, found, analysis.left_out)
