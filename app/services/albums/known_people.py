"""Read the embeddings of registered people, to look for them in an album."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from app.domain.faces import is_reliable
from app.domain.people import ExportedFace
from app.errors import FaceNotFound, SubjectNotFound
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateStore
from app.services.albums.wanted import WantedFace
from app.services.collections.lookup import CollectionLookup

_NEWEST = 20
"""How many of a subject's templates count."""


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A subject of a collection, or one stored face of it."""

    collection: str
    subject: str | None = None
    face_id: UUID | None = None


class KnownPeople:
    """Reads the faces of registered people, within one transaction."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        faces: CollectionFaceRepository,
        templates: TemplateStore,
    ) -> None:
        self._collections = collections
        self._subjects = subjects
        self._faces = faces
        self._templates = templates

    async def read(self, people: Sequence[KnownPerson], recognizer: str) -> list[WantedFace]:
        """Return what to look for, embedded by one recognizer.

        Raises `CollectionNotFound`, `SubjectNotFound` or `FaceNotFound`, also if no face of a subject has such a
        template.
        """
        return [await self._read(person, recognizer) for person in people]

    async def _read(self, person: KnownPerson, recognizer: str) -> WantedFace:
        faces = [face for face in await self._export(person) if face.recognizer == recognizer][-_NEWEST:]
        if not faces:
            who = f"subject {person.subject!r}" if person.face_id is None else f"face {person.face_id}"
            raise FaceNotFound(f"Collection {person.collection!r} has no template of {who} by the album's recognizer.")
        return _combine(faces)

    async def _export(self, person: KnownPerson) -> Sequence[ExportedFace]:
        collection_id = await self._collections.find_id(person.collection)
        if person.face_id is not None:
            is_there = person.face_id in await self._faces.find_by_ids(collection_id, [person.face_id], ())
            return await self._templates.export_face(person.face_id) if is_there else ()
        assert person.subject is not None
        row = await self._subjects.find_row(collection_id, person.subject)
        if row is None:
            raise SubjectNotFound(f"Collection {person.collection!r} has no subject {person.subject!r}.")
        return await self._templates.export(row.id)


def _combine(faces: Sequence[ExportedFace]) -> WantedFace:
    """Return what the faces have in common: of the reliable ones, if there are any."""
    reliable = [face for face in faces if is_reliable(face.quality.get("score"))]
    total = np.sum([face.embedding for face in reliable or faces], axis=0)
    length = float(np.linalg.norm(total))
    return WantedFace((total / length if length > 0 else total).astype(np.float32), bool(reliable))
