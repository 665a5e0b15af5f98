"""Store a face of an album as a template of the subject that a person says it shows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.collections import Recognizers
from app.domain.people import FaceOrigin
from app.errors import CollectionNotFound, RecognizerMismatch, SightingNotFound, SubjectFull, SubjectNotFound
from app.permissions import Quota
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateRepository
from app.services.audit.actions import AuditAction
from app.services.collections.lookup import CollectionLookup
from app.services.people.assignment import MAX_FACES
from app.services.people.face_storage import FaceStorage
from app.services.sightings.named_people import NamedPerson


@dataclass(slots=True)
class _Place:
    """A locked subject, the collection that it is in, and how many faces it has."""

    collection_id: UUID
    person: NamedPerson
    recognizers: Recognizers
    faces: int


class SightingEnrolment:
    """Copies faces of albums to subjects, within one transaction. Lock the subjects before the sightings."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        templates: TemplateRepository,
        storage: FaceStorage,
    ) -> None:
        self._collections = collections
        self._subjects = subjects
        self._templates = templates
        self._storage = storage
        self._places: dict[UUID, _Place] = {}

    async def lock(self, people: Collection[NamedPerson]) -> None:
        """Lock the subjects that faces are to be stored for; unknown ones are left out."""
        by_collection: dict[str, list[str]] = {}
        for person in people:
            by_collection.setdefault(person.collection, []).append(person.subject)
        for collection in sorted(by_collection):
            try:
                collection_id, recognizers = await self._collections.lock_for_storing(collection)
            except CollectionNotFound:
                continue
            for subject, row in (await self._subjects.lock_named(collection_id, *by_collection[collection])).items():
                person, faces = NamedPerson(collection, subject), await self._templates.count(row.id)
                self._places[row.id] = _Place(collection_id, person, recognizers, faces)

    async def prepare(self, face_id: UUID, subject_id: UUID | None) -> NewFace:
        """Return a copy of a face for a subject.

        Raises `SubjectNotFound` if the subject was not locked, `ConsentRequired`, `ConsentWithdrawn`, `SubjectFull`, or
        `RecognizerMismatch` if the face has no embedding of the recognizer in use there.
        """
        place = self._places.get(subject_id) if subject_id is not None else None
        if subject_id is None or place is None:
            raise SubjectNotFound("person: the suggested subject has changed; look at the sighting again.")
        await self._storage.consent.require(place.collection_id, place.person.subject)
        if place.faces >= MAX_FACES:
            raise SubjectFull(
                f"as_template: subject {place.person.subject!r} has {place.faces} faces; the maximum is {MAX_FACES}."
            )
        exported = await self._storage.templates.export_face(face_id)
        if not exported:
            raise SightingNotFound(f"face_id: no sighting has the face {face_id}.")
        embeddings = {one.recognizer: one.embedding for one in exported if one.recognizer in place.recognizers.all}
        if place.recognizers.in_use not in embeddings:
            raise RecognizerMismatch(
                f"as_template: collection {place.person.collection!r} uses the recognizer "
                f"{place.recognizers.in_use!r}, by which the album's faces have no embedding."
            )
        place.faces += 1
        one = exported[0]
        origin = FaceOrigin(one.origin.image_id, one.origin.box, one.origin.external_image_id)
        return NewFace(subject_id, embeddings, one.detection_score, one.quality, origin)

    async def store(self, faces: Sequence[NewFace]) -> None:
        """Store prepared faces; raises `QuotaExceeded`."""
        for subject_id in dict.fromkeys(face.subject_id for face in faces):
            place, chosen = self._places[subject_id], [face for face in faces if face.subject_id == subject_id]
            await self._storage.templates.add_all(chosen, collection_id=place.collection_id, source="album")
            await self._subjects.touch(subject_id)
            trail, person = self._storage.trail, place.person
            ids = {"face_ids": [str(face.id) for face in chosen]}
            await trail.record_subject(
                AuditAction.FACES_ASSIGNED, person.collection, person.subject, ids=ids, faces=len(chosen)
            )
        if faces:
            await self._storage.quotas.check(Quota.TEMPLATES)

    async def remove(self, stored: Sequence[tuple[UUID, UUID]]) -> None:
        """Erase faces that an operation had stored, given as pairs of the subject's and the face's id."""
        await self._subjects.lock([subject_id for subject_id, _ in stored])
        for subject_id, face_id in stored:
            await self._templates.delete(subject_id, face_id)
