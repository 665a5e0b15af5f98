"""Export what people decided about a subject's sightings with the subject, and apply it again when it is imported."""

from uuid import UUID

from app.domain.sightings import FaceDecisions, SightingState
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.sightings import SightingChange, SightingRepository
from app.services.audit.trail import AuditTrail

MAX_FACES = 5_000
"""How many faces of each kind an export lists, the newest."""


class PortableDecisions:
    """Reads and applies decisions within one transaction; faces in albums keep their ids."""

    def __init__(self, albums: AlbumRepository, sightings: SightingRepository, trail: AuditTrail) -> None:
        self._albums = albums
        self._sightings = sightings
        self._trail = trail

    async def export(self, subject_id: UUID) -> FaceDecisions:
        """Return the faces that people said show the subject, or do not."""
        return await self._sightings.list_decisions(subject_id, MAX_FACES)

    async def restore(self, subject_id: UUID, decisions: FaceDecisions) -> None:
        """Decide sightings as before, for a subject that was just imported.

        Faces that do not exist anymore, that the caller may not access, or that a person decided otherwise meanwhile
        are left out. What the machine decided about the others is decided again.
        """
        albums = await self._sightings.find_albums([*decisions.confirmed, *decisions.rejected])
        accessible = {face_id for face_id, (_, name) in albums.items() if self._albums.may_access(name)}
        if not accessible:
            return
        records = await self._sightings.lock(accessible)
        confirmed = {one.face_id for one in records if one.is_open} & set(decisions.confirmed)
        rejected = accessible & (set(decisions.rejected) - set(decisions.confirmed))
        changes = [SightingChange(face_id, SightingState.MATCHED, subject_id) for face_id in confirmed]
        await self._sightings.change(changes, self._trail.actor)
        await self._sightings.add_rejections([(face_id, subject_id) for face_id in rejected], self._trail.actor)
        await self._sightings.mark_stale([*rejected, *await self._sightings.list_beside(confirmed)])
