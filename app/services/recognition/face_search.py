"""Search stored faces or named subjects by a photo's largest face, by a stored face, or by a subject."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.faces import Analysis, Embedding, Face, QualityBar
from app.domain.people import FaceCandidate, NamedCandidate
from app.errors import FaceNotFound, NoFace, about_image
from app.matcher.similarity import cosine_similarity
from app.matcher.tenant_search import TenantSearch
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.photos.face_reader import FaceReader, quality_error

_UNRELIABLE_MARGIN = 20
"""Additional stored faces to search for, since unreliable ones are left out afterwards."""


@dataclass(frozen=True, slots=True)
class FaceMatches:
    """The searched face of a photo of this size in pixels, and the stored faces similar to it."""

    width: int
    height: int
    face: Face
    matches: list[FaceCandidate]


@dataclass(frozen=True, slots=True)
class NamedMatches:
    """The named subjects similar to the searched face; `face` is None if the photo has no usable face."""

    analysis: Analysis
    face: Face | None
    matches: list[NamedCandidate]


@dataclass(frozen=True, slots=True)
class PhotoComparison:
    """The faces of the target and their similarity (cosine) with the source's largest face, most similar first.

    `unreliable` holds those that match nobody, because their own or the source's quality score is too low.
    """

    source: Analysis
    target: Analysis
    compared: list[tuple[Face, float]]
    unreliable: list[Face]


class FaceSearchService:
    """Search faces without a transaction: each search reads its own snapshot."""

    def __init__(self, faces: FaceReader, galleries: GalleryLookup, search: TenantSearch) -> None:
        self._faces = faces
        self._galleries = galleries
        self._search = search

    async def faces_by_photo(
        self, image: bytes, collection: str, *, bar: QualityBar, limit: int, min_similarity: float
    ) -> FaceMatches:
        """Find stored faces similar to the photo's largest.

        Raises `NoFace`, or the `FaceRefused` of a face below the bar.
        """
        gallery = await self._galleries.find(collection)  # first: an unknown collection must cost no inference
        analysis = await self._faces.read_largest(image, by=gallery.recognizer)
        face, embedding = self._largest(analysis, bar)
        if not face.quality.is_reliable:
            return FaceMatches(analysis.width, analysis.height, face, [])
        found = await self._search.faces_like(gallery, embedding, limit + _UNRELIABLE_MARGIN, min_similarity)
        return FaceMatches(analysis.width, analysis.height, face, _keep_reliable(found, limit))

    async def faces_by_face(
        self, face_id: UUID, collection: str, *, limit: int, min_similarity: float
    ) -> list[FaceCandidate]:
        """Find other stored faces similar to a stored one; raises `FaceNotFound`."""
        gallery = await self._galleries.find(collection)
        found = await self._search.faces_like_face(gallery, face_id, limit + _UNRELIABLE_MARGIN, min_similarity)
        if found is None:
            raise _no_face(collection, face_id)
        return _keep_reliable(found, limit)

    async def named_by_photo(
        self, image: bytes, collection: str, *, bar: QualityBar, limit: int, min_similarity: float
    ) -> NamedMatches:
        """Find named subjects similar to the photo's largest face, if there is one and it reaches the bar."""
        gallery = await self._galleries.find(collection)
        analysis = await self._faces.read_largest(image, by=gallery.recognizer)
        if not analysis.faces or self._faces.judge(analysis.faces[0], bar):
            return NamedMatches(analysis, None, [])
        if not analysis.faces[0].quality.is_reliable:
            return NamedMatches(analysis, analysis.faces[0], [])
        matches = await self._search.named_subjects_like(gallery, analysis.embeddings[0], limit, min_similarity)
        return NamedMatches(analysis, analysis.faces[0], matches)

    async def named_by_face(
        self, face_id: UUID, collection: str, *, limit: int, min_similarity: float
    ) -> list[NamedCandidate]:
        """Find named subjects similar to a stored face; raises `FaceNotFound`."""
        gallery = await self._galleries.find(collection)
        matches = await self._search.named_subjects_like_face(gallery, face_id, limit, min_similarity)
        if matches is None:
            raise _no_face(collection, face_id)
        return matches

    async def named_by_subject(
        self, subject: str, collection: str, *, limit: int, min_similarity: float
    ) -> list[NamedCandidate]:
        """Find other named subjects similar to a subject's common embedding; raises `SubjectNotFound`."""
        gallery, subject_id = await self._galleries.find_subject(collection, subject, named_only=True)
        return await self._search.named_subjects_like_subject(gallery, subject_id, limit, min_similarity)

    async def compare(self, source: bytes, target: bytes, *, bar: QualityBar) -> PhotoComparison:
        """Compare the source's largest face with each face of the target that reaches the bar.

        Raises `NoFace` if either photo has no face.
        """
        with about_image("source"):
            source_analysis = await self._faces.read_largest(source)
            face, embedding = self._largest(source_analysis, bar, "source")
        with about_image("target"):
            target_analysis = await self._faces.extract_chosen(target, lambda faces: self._acceptable(faces, bar))
        if not target_analysis.faces:
            raise NoFace("target: no face was found in the image.", field="target")
        compared = [
            (target_analysis.faces[index], cosine_similarity(embedding, other))
            for index, other in zip(target_analysis.embedded, target_analysis.embeddings, strict=True)
            if not self._faces.judge(target_analysis.faces[index], bar)
        ]
        compared.sort(key=lambda pair: -pair[1])
        reliable = [pair for pair in compared if face.quality.is_reliable and pair[0].quality.is_reliable]
        unreliable = [other for other, _ in compared if not (face.quality.is_reliable and other.quality.is_reliable)]
        return PhotoComparison(source_analysis, target_analysis, reliable, unreliable)

    def _acceptable(self, faces: Sequence[Face], bar: QualityBar) -> list[int]:
        return [index for index, face in enumerate(faces) if not self._faces.judge(face, bar)]

    def _largest(self, analysis: Analysis, bar: QualityBar, field: str = "image") -> tuple[Face, Embedding]:
        if not analysis.faces:
            raise NoFace(f"{field}: no face was found in the image.", field=field)
        findings = self._faces.judge(analysis.faces[0], bar)
        if findings:
            raise quality_error(findings[0])
        return analysis.faces[0], analysis.embeddings[0]


def _keep_reliable(found: Sequence[FaceCandidate], limit: int) -> list[FaceCandidate]:
    """Leave out stored faces whose quality score is too low: a bad photo resembles many people."""
    return [candidate for candidate in found if candidate.face.is_reliable][:limit]


def _no_face(collection: str, face_id: UUID) -> FaceNotFound:
    return FaceNotFound(
        f"face_id: collection {collection!r} has no face {face_id} of the recognizer in use.", field="face_id"
    )
