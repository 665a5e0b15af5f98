"""Name the subjects nearest to faces, whatever their similarity, and compare faces with one another.

For protocols whose clients decide by a threshold of their own. Anonymous subjects are never named.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from app.domain.decisions import Candidate
from app.domain.faces import Analysis, Embedding, Face
from app.domain.people import ANONYMOUS_PREFIX
from app.errors import FaceNotFound, NoFace, about_image
from app.matcher.search import Gallery
from app.matcher.similarity import cosine_similarity
from app.matcher.tenant_search import TenantSearch
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.photos.face_reader import FaceLimits, FaceReader


@dataclass(frozen=True, slots=True)
class NearSubject:
    """A named subject and its similarity (cosine, -1..1); None if a face is of too low quality to say anything."""

    subject: str
    similarity: float | None


@dataclass(frozen=True, slots=True)
class PhotoFace:
    """A face of a photo with its embedding."""

    face: Face
    embedding: Embedding = field(repr=False)


@dataclass(frozen=True, slots=True)
class NamedFace:
    """A face of a photo with the nearest subjects, best first."""

    found: PhotoFace
    subjects: list[NearSubject]


@dataclass(frozen=True, slots=True)
class SimilarFace:
    """A face of a photo with its similarity to another; None as in `NearSubject`."""

    found: PhotoFace
    similarity: float | None


@dataclass(frozen=True, slots=True)
class ComparedPhotos:
    """The largest face of one photo, and the faces of another, most similar first."""

    source: PhotoFace
    faces: list[SimilarFace]


class NearestService:
    """Compare faces of photos and embeddings with a collection; stores nothing."""

    def __init__(self, faces: FaceReader, galleries: GalleryLookup, search: TenantSearch) -> None:
        self._faces = faces
        self._galleries = galleries
        self._search = search

    async def name_faces(self, image: bytes, collection: str, limits: FaceLimits, *, limit: int) -> list[NamedFace]:
        """Find the `limit` nearest subjects of each face; raises `CollectionNotFound` or `NoFace`."""
        gallery = await self._galleries.find(collection)
        found = await self._read(image, limits, gallery.recognizer)
        ranked = await self._rank(gallery, [one.embedding for one in found], limit)
        return [
            NamedFace(one, _describe(candidates, is_reliable=one.face.quality.is_reliable))
            for one, candidates in zip(found, ranked, strict=True)
        ]

    async def name_embeddings(
        self, embeddings: Sequence[Embedding], collection: str, *, limit: int
    ) -> list[list[NearSubject]]:
        """Find the `limit` nearest subjects of each embedding of unit length; raises `CollectionNotFound`."""
        gallery = await self._galleries.find(collection)
        return [_describe(candidates) for candidates in await self._rank(gallery, embeddings, limit)]

    async def compare_with_face(
        self, image: bytes, collection: str, face_id: UUID, limits: FaceLimits
    ) -> list[SimilarFace]:
        """Compare each face of a photo with a stored one.

        Raises `CollectionNotFound`, `FaceNotFound` or `NoFace`.
        """
        gallery = await self._galleries.find(collection)
        await self._compare(gallery, face_id, [])  # a missing face costs no inference
        found = await self._read(image, limits, gallery.recognizer)
        similarities = await self._compare(gallery, face_id, [one.embedding for one in found])
        return [
            SimilarFace(one, similarity if one.face.quality.is_reliable else None)
            for one, similarity in zip(found, similarities, strict=True)
        ]

    async def compare_embeddings(
        self, embeddings: Sequence[Embedding], collection: str, face_id: UUID
    ) -> list[float | None]:
        """Compare embeddings of unit length with a stored face; raises `CollectionNotFound` or `FaceNotFound`."""
        return await self._compare(await self._galleries.find(collection), face_id, embeddings)

    async def compare_photos(self, source: bytes, target: bytes, collection: str, limits: FaceLimits) -> ComparedPhotos:
        """Compare the largest face of `source` with each face of `target`, by the collection's recognizer.

        Raises `CollectionNotFound`, or `NoFace` with the field of the photo without a face.
        """
        recognizer = (await self._galleries.find(collection)).recognizer
        with about_image("source"):
            (face,) = await self._read(source, FaceLimits(limits.min_score, 1), recognizer)
        with about_image("target"):
            others = await self._read(target, limits, recognizer)
        compared = [
            SimilarFace(
                other,
                cosine_similarity(face.embedding, other.embedding)
                if face.face.quality.is_reliable and other.face.quality.is_reliable
                else None,
            )
            for other in others
        ]
        compared.sort(key=lambda one: -2.0 if one.similarity is None else one.similarity, reverse=True)
        return ComparedPhotos(face, compared)

    async def find_faces(self, image: bytes, collection: str, limits: FaceLimits) -> list[PhotoFace]:
        """Find the faces of a photo with the embeddings of the collection's recognizer.

        Raises `CollectionNotFound` or `NoFace`.
        """
        return await self._read(image, limits, (await self._galleries.find(collection)).recognizer)

    async def _read(self, image: bytes, limits: FaceLimits, recognizer: str) -> list[PhotoFace]:
        analysis = await self._faces.read_limited(image, limits, by=recognizer)
        if not analysis.embedded:
            raise NoFace
        return _pair(analysis)

    async def _rank(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> list[list[Candidate]]:
        ranked = (await self._search.identify(gallery, probes, limit)).ranked
        if any(candidate.subject.startswith(ANONYMOUS_PREFIX) for candidates in ranked for candidate in candidates):
            ranked = (await self._search.identify_named(gallery, probes, limit)).ranked
        return ranked

    async def _compare(self, gallery: Gallery, face_id: UUID, probes: Sequence[Embedding]) -> list[float | None]:
        compared = await self._search.compare_with_face(gallery, face_id, probes)
        if compared is None:
            raise FaceNotFound(f"image_id: the collection has no face {face_id} of the recognizer in use.")
        similarities, is_reliable = compared
        return [similarity if is_reliable else None for similarity in similarities]


def _pair(analysis: Analysis) -> list[PhotoFace]:
    return [
        PhotoFace(analysis.faces[index], embedding)
        for index, embedding in zip(analysis.embedded, analysis.embeddings, strict=True)
    ]


def _describe(candidates: Sequence[Candidate], *, is_reliable: bool = True) -> list[NearSubject]:
    """Return the candidates with the similarities that decide: those of faces of too low quality say nothing."""
    near = [NearSubject(candidate.subject, _similarity(candidate) if is_reliable else None) for candidate in candidates]
    return sorted(near, key=lambda one: -2.0 if one.similarity is None else one.similarity, reverse=True)


def _similarity(candidate: Candidate) -> float | None:
    if candidate.reliable_similarity is None:
        return candidate.similarity
    return candidate.reliable_similarity if candidate.reliable_similarity > -1 else None
