"""Which stored faces, or which known subjects as a whole, resemble a photo's largest face, a stored face, a subject."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.faces import Analysis, Embedding, Face, QualityBar
from app.domain.people import FaceCandidate, NamedCandidate
from app.errors import FaceNotFound, NoFace
from app.matcher.similarity import cosine_similarity
from app.matcher.tenant_search import TenantSearch
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.photos.face_reader import FaceReader, refusal


@dataclass(frozen=True, slots=True)
class FaceMatches:
    """What resembles the searched face of a photo of this size."""

    width: int
    height: int
    face: Face
    matches: list[FaceCandidate]


@dataclass(frozen=True, slots=True)
class NamedMatches:
    """The same for known subjects; `face` is None where no face of the photo could be searched."""

    analysis: Analysis
    face: Face | None
    matches: list[NamedCandidate]


@dataclass(frozen=True, slots=True)
class PhotoComparison:
    """The largest face of one photo, and each of the other's with its similarity (cosine), most similar first."""

    source: Analysis
    target: Analysis
    compared: list[tuple[Face, float]]


class FaceSearchService:
    """Needs no transaction: searches have snapshots of their own."""

    def __init__(self, faces: FaceReader, galleries: GalleryLookup, search: TenantSearch) -> None:
        self._faces = faces
        self._galleries = galleries
        self._search = search

    async def faces_by_photo(
        self, image: bytes, collection: str, *, bar: QualityBar, limit: int, min_similarity: float
    ) -> FaceMatches:
        """Stored faces similar to the photo's largest; raises `NoFace`, or the `FaceRefused` of one below the bar."""
        gallery = await self._galleries.find(collection)  # first: a collection that is not there costs no inference
        analysis = await self._faces.read_largest(image, by=gallery.recognizer)
        face, embedding = self._largest(analysis, bar)
        matches = await self._search.faces_like(gallery, embedding, limit, min_similarity)
        return FaceMatches(analysis.width, analysis.height, face, matches)

    async def faces_by_face(
        self, face_id: UUID, collection: str, *, limit: int, min_similarity: float
    ) -> list[FaceCandidate]:
        """Stored faces similar to a stored one, without itself; raises `FaceNotFound`."""
        gallery = await self._galleries.find(collection)
        matches = await self._search.faces_like_face(gallery, face_id, limit, min_similarity)
        if matches is None:
            raise _no_face(collection, face_id)
        return matches

    async def named_by_photo(
        self, image: bytes, collection: str, *, bar: QualityBar, limit: int, min_similarity: float
    ) -> NamedMatches:
        """Known subjects similar to the photo's largest face, if that is there and reaches the bar."""
        gallery = await self._galleries.find(collection)
        analysis = await self._faces.read_largest(image, by=gallery.recognizer)
        if not analysis.faces or self._faces.judge(analysis.faces[0], bar):
            return NamedMatches(analysis, None, [])
        matches = await self._search.named_subjects_like(gallery, analysis.embeddings[0], limit, min_similarity)
        return NamedMatches(analysis, analysis.faces[0], matches)

    async def named_by_face(
        self, face_id: UUID, collection: str, *, limit: int, min_similarity: float
    ) -> list[NamedCandidate]:
        """Known subjects similar to a stored face; raises `FaceNotFound`."""
        gallery = await self._galleries.find(collection)
        matches = await self._search.named_subjects_like_face(gallery, face_id, limit, min_similarity)
        if matches is None:
            raise _no_face(collection, face_id)
        return matches

    async def named_by_subject(
        self, subject: str, collection: str, *, limit: int, min_similarity: float
    ) -> list[NamedCandidate]:
        """Other known subjects similar to what a subject's faces have in common; raises `SubjectNotFound`."""
        gallery, subject_id = await self._galleries.find_subject(collection, subject, named_only=True)
        return await self._search.named_subjects_like_subject(gallery, subject_id, limit, min_similarity)

    async def compare(self, source: bytes, target: bytes, *, bar: QualityBar) -> PhotoComparison:
        """The largest face of one photo against those of another that reach the bar; raises `NoFace` for either."""
        first = await self._faces.read_largest(source)
        _, embedding = self._largest(first, bar, "SourceImage")
        second = await self._faces.extract_chosen(target, lambda faces: self._reaching(faces, bar))
        if not second.faces:
            raise NoFace("TargetImage: no face was found in the image.", field="TargetImage")
        reaching = [second.faces[index] for index in self._reaching(second.faces, bar)]
        similarities = [cosine_similarity(embedding, other) for other in second.embeddings]
        compared = sorted(zip(reaching, similarities, strict=True), key=lambda one: -one[1])
        return PhotoComparison(first, second, compared)

    def _reaching(self, faces: Sequence[Face], bar: QualityBar) -> list[int]:
        return [index for index, face in enumerate(faces) if not self._faces.judge(face, bar)]

    def _largest(self, analysis: Analysis, bar: QualityBar, field: str = "Image") -> tuple[Face, Embedding]:
        if not analysis.faces:
            raise NoFace(f"{field}: no face was found in the image.", field=field)
        findings = self._faces.judge(analysis.faces[0], bar)
        if findings:
            raise refusal(findings[0])
        return analysis.faces[0], analysis.embeddings[0]


def _no_face(collection: str, face_id: UUID) -> FaceNotFound:
    return FaceNotFound(f"FaceId: collection {collection!r} has no face {face_id} of the recognizer in use.")
