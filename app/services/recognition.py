"""Recognising, verifying and comparing faces."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain import Analysis, Candidate, Decision, Detail, Face
from app.errors import AppError, FaceNotFound, NoFace
from app.matcher.search import GallerySearch
from app.matcher.similarity import cosine_similarity
from app.matcher.thresholds import DecidedCandidate, decide, decide_all, decide_candidate
from app.services.faces import FaceChoice, FaceReader
from app.services.galleries import GalleryLookup
from app.services.identification import Identification


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
    threshold: float
    recognizer: str
    faces: list[RecognizedFace]


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the face is the claimed subject's."""

    face: Face
    candidate: Candidate
    threshold: float
    decision: Decision


@dataclass(frozen=True, slots=True)
class ComparedFace:
    """One face of the target image against the source's."""

    face: Face
    similarity: float
    decision: Decision


@dataclass(frozen=True, slots=True)
class Comparison:
    """The source's largest face against every face of the target, most similar first."""

    source: Face
    threshold: float
    targets: list[ComparedFace]


@dataclass(frozen=True, slots=True)
class BatchRecognition:
    """What was found in each of several images, or why one could not be used."""

    threshold: float
    recognizer: str
    images: list[Recognition | AppError]


class RecognitionService:
    """Asks who is in an image; stores nothing."""

    def __init__(
        self,
        faces: FaceReader,
        galleries: GalleryLookup,
        search: GallerySearch,
        *,
        default_threshold: float,
    ) -> None:
        self._faces = faces
        self._galleries = galleries
        self._search = search
        self._identification = Identification(galleries, search)
        self._default_threshold = default_threshold

    async def recognize(
        self, image: bytes, *, collection: str, limit: int, threshold: float | None, detail: Detail
    ) -> Recognition:
        """Every face of the image with its `limit` best candidates; raises `NoFace` or `CollectionNotFound`."""
        analysis = await self._faces.read_all(image, detail)
        ranked = await self._identification.identify(collection, analysis.embeddings, limit)
        return self._describe(analysis, ranked, self._threshold(threshold))

    async def recognize_each(
        self, images: Sequence[bytes], *, collection: str, limit: int, threshold: float | None, detail: Detail
    ) -> BatchRecognition:
        """`recognize` for each of several images; what is wrong with one of them spoils no other."""
        analyses = await self._faces.extract_each(images, detail)
        probes = [embedding for one in analyses if isinstance(one, Analysis) for embedding in one.embeddings]
        ranked = iter(await self._identification.identify(collection, probes, limit))
        used, results = self._threshold(threshold), list[Recognition | AppError]()
        for analysis in analyses:
            if isinstance(analysis, AppError):
                results.append(analysis)
            elif not analysis.faces:
                results.append(NoFace())
            else:
                results.append(self._describe(analysis, [next(ranked) for _ in analysis.faces], used))
        return BatchRecognition(used, self._identification.recognizer, results)

    def _describe(self, analysis: Analysis, ranked: Sequence[list[Candidate]], threshold: float) -> Recognition:
        found = [
            RecognizedFace(face, decide_all(candidates, threshold))
            for face, candidates in zip(analysis.faces, ranked, strict=True)
        ]
        return Recognition(analysis.width, analysis.height, threshold, self._identification.recognizer, found)

    async def verify(
        self, image: bytes, *, collection: str, subject: str, threshold: float | None, choice: FaceChoice
    ) -> Verification:
        """The image's face against the subject's best template."""
        face, embedding = await self._faces.read_probe(image, choice)
        gallery, subject_id = await self._galleries.find_subject(collection, subject)
        candidate = await self._search.compare(gallery, subject_id, embedding)
        if candidate is None:
            raise FaceNotFound(f"Subject {subject!r} has no face registered with the recogniser in use.")
        used = self._threshold(threshold)
        return Verification(face, candidate, used, decide_candidate(candidate, used))

    async def compare(self, source: bytes, target: bytes, *, threshold: float | None) -> Comparison:
        """The source's largest face against every face of the target; raises `NoFace` for either."""
        face, embedding = await self._faces.read_probe(source, FaceChoice.LARGEST)
        analysis = await self._faces.read_all(target)
        used = self._threshold(threshold)
        similarities = [cosine_similarity(embedding, other) for other in analysis.embeddings]
        targets = [
            ComparedFace(other, similarity, decide(similarity, used))
            for other, similarity in zip(analysis.faces, similarities, strict=True)
        ]
        return Comparison(face, used, sorted(targets, key=lambda compared: -compared.similarity))

    def _threshold(self, wanted: float | None) -> float:
        return self._default_threshold if wanted is None else wanted
