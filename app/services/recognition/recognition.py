"""Recognizing, verifying and comparing faces."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.decisions import Candidate, Decision, GalleryScale
from app.domain.faces import Analysis, Detail, Face
from app.errors import AppError, FaceNotFound, NoFace
from app.matcher.similarity import cosine_similarity
from app.matcher.tenant_search import TenantSearch
from app.matcher.thresholds import DecidedCandidate, Thresholds, decide_all, decide_candidate
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
    """Everything found in one image."""

    width: int
    height: int
    thresholds: Thresholds
    recognizer: str
    faces: list[RecognizedFace]


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the face is the claimed subject's."""

    face: Face
    decided: DecidedCandidate
    thresholds: Thresholds
    recognizer: str


@dataclass(frozen=True, slots=True)
class ComparedFace:
    """One face of the target image against the source's."""

    face: Face
    similarity: float
    decision: Decision
    false_match_rate: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The source's largest face against every face of the target, most similar first."""

    source: Face
    thresholds: Thresholds
    recognizer: str
    targets: list[ComparedFace]


@dataclass(frozen=True, slots=True)
class BatchRecognition:
    """What was found in each of several images, or why one could not be used."""

    thresholds: Thresholds
    recognizer: str
    images: list[Recognition | AppError]


class RecognitionService:
    """Asks who is in an image; stores nothing."""

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
        """Every face of the image with its `limit` best candidates; raises `NoFace` or `CollectionNotFound`."""
        gallery = await self._galleries.find(collection)
        analysis = await self._faces.read_all(image, detail, by=gallery.recognizer)
        identified = await self._search.identify(gallery, analysis.embeddings, limit)
        thresholds = self._decisions.thresholds(gallery.recognizer, identified.scale, threshold)
        return _describe(analysis, identified.ranked, thresholds, gallery.recognizer)

    async def recognize_each(
        self, images: Sequence[bytes], *, collection: str, limit: int, threshold: float | None, detail: Detail
    ) -> BatchRecognition:
        """`recognize` for each of several images; what is wrong with one of them spoils no other."""
        gallery = await self._galleries.find(collection)
        analyzes = await self._faces.extract_each(images, detail, by=gallery.recognizer)
        probes = [embedding for one in analyzes if isinstance(one, Analysis) for embedding in one.embeddings]
        identified = await self._search.identify(gallery, probes, limit)
        ranked = iter(identified.ranked)
        used = self._decisions.thresholds(gallery.recognizer, identified.scale, threshold)
        results = list[Recognition | AppError]()
        for analysis in analyzes:
            if isinstance(analysis, AppError):
                results.append(analysis)
            elif not analysis.faces:
                results.append(NoFace())
            else:
                own = [next(ranked) for _ in analysis.faces]
                results.append(_describe(analysis, own, used, gallery.recognizer))
        return BatchRecognition(used, gallery.recognizer, results)

    async def verify(
        self, image: bytes, *, collection: str, subject: str, threshold: float | None, choice: FaceChoice
    ) -> Verification:
        """The image's face against the subject's best template."""
        gallery, subject_id = await self._galleries.find_subject(collection, subject)
        face, embedding = await self._faces.read_probe(image, choice, by=gallery.recognizer)
        compared = await self._search.compare(gallery, subject_id, embedding)
        if compared is None:
            raise FaceNotFound(f"Subject {subject!r} has no face registered with the recognizer in use.")
        used = self._decisions.one_to_one(gallery.recognizer, compared.scale, threshold)
        return Verification(face, decide_candidate(compared.candidate, used), used, gallery.recognizer)

    async def compare(self, source: bytes, target: bytes, *, threshold: float | None) -> Comparison:
        """The source's largest face against every face of the target; raises `NoFace` for either."""
        face, embedding = await self._faces.read_probe(source, FaceChoice.LARGEST)
        analysis = await self._faces.read_all(target)
        recognizer = self._faces.engine.recognizer
        used = self._decisions.one_to_one(recognizer, GalleryScale(len(analysis.faces)), threshold)
        similarities = [cosine_similarity(embedding, other) for other in analysis.embeddings]
        targets = [
            ComparedFace(other, similarity, used.decide(similarity), used.reported_false_match_rate(similarity))
            for other, similarity in zip(analysis.faces, similarities, strict=True)
        ]
        return Comparison(face, used, recognizer, sorted(targets, key=lambda compared: -compared.similarity))


def _describe(
    analysis: Analysis, ranked: Sequence[list[Candidate]], thresholds: Thresholds, recognizer: str
) -> Recognition:
    found = [
        RecognizedFace(face, decide_all(candidates, thresholds))
        for face, candidates in zip(analysis.faces, ranked, strict=True)
    ]
    return Recognition(analysis.width, analysis.height, thresholds, recognizer, found)
