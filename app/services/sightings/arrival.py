"""Match the faces of new photos with the people whom their album looks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from app.domain.events import Event
from app.domain.sightings import LookedFor, SightingState, Suggestion
from app.persistence.connections.database import Database
from app.persistence.repositories.album_people import AlbumPeopleRepository
from app.persistence.repositories.sightings import SightingChange, SightingRepository
from app.services.sightings.announcing import announce_sightings
from app.services.sightings.matching import PeopleMatcher, ProbeFace


@dataclass(frozen=True, slots=True)
class Matched:
    """What was suggested for faces, and the newest template of each collection when it was compared."""

    suggestions: dict[UUID, Suggestion] = field(default_factory=dict)
    compared_through: dict[UUID, int] = field(default_factory=dict)


class ArrivalMatcher:
    """Matches new faces before they are stored."""

    def __init__(self, database: Database, matcher: PeopleMatcher) -> None:
        self._database = database
        self._matcher = matcher

    async def match(self, tenant_id: UUID, collection_id: UUID, faces: Sequence[ProbeFace]) -> Matched:
        """Return the suggestions for the new faces of an album."""
        people, through = await self._read_people(tenant_id, collection_id)
        if not people or not faces:
            return Matched(compared_through=through)
        return Matched(await self._matcher.match(tenant_id, people, faces, {}), through)

    async def _read_people(self, tenant_id: UUID, collection_id: UUID) -> tuple[list[LookedFor], dict[UUID, int]]:
        async with self._database.transaction(tenant_id) as session:
            rows = AlbumPeopleRepository(session, tenant_id)
            people = await rows.list_by_album(collection_id)
            return people, await rows.read_last_seqs([one.collection_id for one in people]) if people else {}


class SightingStorage:
    """Stores the sightings of new faces, in the transaction that stores the faces."""

    def __init__(self, people: AlbumPeopleRepository, sightings: SightingRepository) -> None:
        self._people = people
        self._sightings = sightings

    async def store(
        self, album: str, collection_id: UUID, photo_ids: Mapping[UUID, UUID], matched: Matched
    ) -> list[Event]:
        """Store a sighting of each face of an album, and return their events; `photo_ids` maps face ids to photo ids.

        If a comparison of newer templates has begun meanwhile, it may have missed these faces: they are decided again.
        """
        begun = await self._people.lock_begun(collection_id)
        is_late = any(seq > matched.compared_through.get(people_id, 0) for people_id, seq in begun.items())
        suggestions = {face_id: one for face_id, one in matched.suggestions.items() if face_id in photo_ids}
        changes = await describe_changes(self._sightings, suggestions)
        await self._sightings.add_all(collection_id, photo_ids, changes, stale=is_late)
        people = await self._people.list_by_album(collection_id) if changes else ()
        return announce_sightings(album, people, changes.values(), suggestions, photo_ids)


async def describe_changes(
    rows: SightingRepository, suggestions: Mapping[UUID, Suggestion]
) -> dict[UUID, SightingChange]:
    """Turn suggestions into changes of sightings; those of subjects that are gone meanwhile are left out."""
    wanted = {(one.collection_id, one.subject) for one in suggestions.values()}
    subject_ids = await rows.find_subjects(wanted)
    changes = {}
    for face_id, one in suggestions.items():
        subject_id = subject_ids.get((one.collection_id, one.subject))
        if subject_id is not None:
            state = SightingState.MATCHED if one.is_match else SightingState.REVIEW
            changes[face_id] = SightingChange(
                face_id, state, subject_id, one.face_id, one.similarity, one.false_match_rate
            )
    return changes
