"""Store the faces of finished photos, within one transaction of one tenant."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from uuid import UUID

from app.domain.albums import PhotoState
from app.domain.events import Event
from app.permissions import Quota
from app.persistence.repositories.face_crops import FaceCropRepository
from app.persistence.repositories.photo_turns import FinishedPhoto, PhotoTurnRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.services.albums.announcing import announce_end, announce_failure, announce_photo
from app.services.albums.photo_faces import PhotoFaces
from app.services.audit.actions import AuditAction
from app.services.collections.lookup import CollectionLookup
from app.services.people.face_storage import FaceStorage
from app.services.people.rules import anonymous_name
from app.services.sightings.arrival import Matched, SightingStorage

NO_FACE = "no_face"


@dataclass(frozen=True, slots=True)
class PhotoStorage:
    """What it takes to store photos: the photos' rows, their collection, and what stores faces."""

    photos: PhotoTurnRepository
    collections: CollectionLookup
    subjects: SubjectRepository
    storage: FaceStorage
    crops: FaceCropRepository
    sightings: SightingStorage

    async def store(
        self, album: str, lease: UUID, found: Sequence[PhotoFaces], matched: Matched
    ) -> list[FinishedPhoto]:
        """Store the faces of an album's photos that the lease still holds, and finish the photos.

        Raises `CollectionNotFound` if the album was erased, `QuotaExceeded`, `ConsentRequired`, or `RecognizerChanged`.
        """
        collection_id, _ = await self.collections.lock_for_storing(album, found[0].recognizers)
        held = await self.photos.lock_held(lease, [one.photo.id for one in found])
        kept = [one for one in found if one.photo.id in held]
        faces, sighted = [face for one in kept for face in one.faces], list[Event]()
        if faces:
            await self.storage.consent.require_for_anonymous()
            names = {face.subject_id: anonymous_name(face.id) for face in faces}
            await self.subjects.add_anonymous(collection_id, names)
            await self.storage.templates.add_all(faces, collection_id=collection_id, source="album")
            for one in kept:
                await self.crops.add_all(one.pictures, photo_id=one.photo.id)
            photo_ids = {face.id: one.photo.id for one in kept for face in one.faces}
            sighted = await self.sightings.store(album, collection_id, photo_ids, matched)
        finished = [_finish(one) for one in kept]
        await self.photos.finish(finished)
        if faces:
            await self.storage.quotas.check(Quota.TEMPLATES)
        if kept:
            target = f"collection:{album}"
            await self.storage.trail.record(
                AuditAction.PHOTOS_PROCESSED,
                target,
                events=[*map(announce_photo, repeat(album), kept, finished), *sighted],
                collection=album,
                photos=len(kept),
                faces=len(faces),
            )
            await announce_end(self.photos, self.storage.trail.events, album, collection_id)
        return finished

    async def fail(self, album: str, lease: UUID, failed: Sequence[FinishedPhoto]) -> None:
        """Write the failures of photos that the lease still holds."""
        held = await self.photos.lock_held(lease, [one.id for one in failed])
        ended = [one for one in failed if one.id in held]
        await self.photos.finish(ended)
        if ended:
            events = self.storage.trail.events
            await events.add([announce_failure(album, one.id, one.code) for one in ended])
            await announce_end(self.photos, events, album, await self.collections.find_id(album))


def _finish(found: PhotoFaces) -> FinishedPhoto:
    return FinishedPhoto(
        found.photo.id,
        PhotoState.DONE,
        found.width,
        found.height,
        len(found.faces),
        found.skipped,
        code=None if found.found else NO_FACE,
    )
