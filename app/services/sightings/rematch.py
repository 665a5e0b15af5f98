"""Find people again when they are registered: compare new templates with the faces of albums that look for them.

There is no cross join: only templates newer than those of the last comparison are searched for, in the album's gallery,
by the strategies of every search. A face that resembles one of them is decided anew, as if it arrived now.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from app.domain.sightings import SightingState, Suggestion
from app.errors import AppError
from app.matcher.engine import SearchEngine
from app.matcher.search import Gallery
from app.matcher.tenant_search import TenantSearch
from app.persistence.connections.database import Database
from app.persistence.repositories.album_people import AlbumPeopleRepository, Comparison, find_stale_people
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.events import EventRepository
from app.persistence.repositories.face_embeddings import FaceEmbeddingRepository
from app.persistence.repositories.sightings import SightingChange, SightingRecord, SightingRepository
from app.services.collections.decisions import DecisionMaker
from app.services.sightings.announcing import announce_sightings
from app.services.sightings.arrival import describe_changes
from app.services.sightings.matching import PeopleMatcher, ProbeFace, Rejected
from app.telemetry import get_logger

_log = get_logger(__name__)

_LEASE_S = 120.0
_TEMPLATES = 64
"""New templates that are searched for at once."""
_FACES = 256
"""Faces that are decided at once."""


class Rematch:
    """Decides sightings again; several workers may do so at the same time."""

    def __init__(
        self, database: Database, engine: SearchEngine, matcher: PeopleMatcher, decisions: DecisionMaker
    ) -> None:
        self._database = database
        self._engine = engine
        self._matcher = matcher
        self._decisions = decisions

    async def run(self) -> int:
        """Compare everything that is new, for all tenants; return how many sightings were decided again."""
        decided = 0
        for tenant_id, album_id, people_id in await find_stale_people(self._database):
            try:
                decided += await self._compare(tenant_id, album_id, people_id)
            except AppError as exc:  # the lease runs out, and somebody tries again
                _log.warning("people_not_compared", tenant=str(tenant_id), code=exc.code)
        return decided

    async def _compare(self, tenant_id: UUID, album_id: UUID, people_id: UUID) -> int:
        async with self._database.transaction(tenant_id) as session:
            comparison = await AlbumPeopleRepository(session, tenant_id).begin(album_id, people_id, _LEASE_S)
            album = await CollectionRepository(session, tenant_id).find_by_id(album_id)
        if comparison is None or album is None:
            return 0
        decided = 0
        if album.recognizer is not None:
            gallery = Gallery(album_id, album.recognizer)
            decided += await self._search_for_new(tenant_id, gallery, comparison)
            decided += await self._decide_stale(tenant_id, gallery)
        async with self._database.transaction(tenant_id) as session:
            await AlbumPeopleRepository(session, tenant_id).end(album_id, comparison)
        return decided

    async def _search_for_new(self, tenant_id: UUID, gallery: Gallery, comparison: Comparison) -> int:
        """Decide the faces that resemble a new template of a named subject."""
        if comparison.recognizer != gallery.recognizer:
            return 0  # nothing is comparable
        search, after, decided = TenantSearch(self._engine, tenant_id), comparison.after, 0
        people = Gallery(comparison.people.collection_id, comparison.recognizer)
        thresholds = self._decisions.thresholds(people.recognizer, await search.read_scale(people), None)
        while True:
            async with self._database.transaction(tenant_id) as session:
                new = await FaceEmbeddingRepository(session, tenant_id, self._engine.protector).list_named(
                    people.collection_id, people.recognizer, after=after, through=comparison.through, limit=_TEMPLATES
                )
            if not new:
                return decided
            after = new[-1].seq
            found = await search.all_faces_like(gallery, [one.embedding for one in new], thresholds.review)
            similar = {candidate.face.id for candidates in found for candidate in candidates}
            decided += await self._decide(tenant_id, gallery, list(similar))

    async def _decide_stale(self, tenant_id: UUID, gallery: Gallery) -> int:
        decided = 0
        while True:
            async with self._database.transaction(tenant_id) as session:
                stale = await SightingRepository(session, tenant_id).list_stale(gallery.collection_id, _FACES)
            if not stale:
                return decided
            decided += await self._decide(tenant_id, gallery, stale)

    async def _decide(self, tenant_id: UUID, gallery: Gallery, face_ids: list[UUID]) -> int:
        """Decide sightings of an album as if their faces arrived now; those that people decided stay."""
        decided = 0
        for start in range(0, len(face_ids), _FACES):
            decided += await self._decide_batch(tenant_id, gallery, face_ids[start : start + _FACES])
        return decided

    async def _decide_batch(self, tenant_id: UUID, gallery: Gallery, face_ids: Collection[UUID]) -> int:
        async with self._database.transaction(tenant_id) as session:
            people = await AlbumPeopleRepository(session, tenant_id).list_by_album(gallery.collection_id)
            album = await CollectionRepository(session, tenant_id).find_by_id(gallery.collection_id)
            rows = SightingRepository(session, tenant_id)
            # A photo is decided as a whole: nobody is matched twice in it.
            beside = await rows.list_beside(face_ids)
            records = await rows.lock(beside)
            photos = {one.face_id: one.photo_id for one in records if one.is_open}
            decided = [one for one in records if one.state is SightingState.MATCHED and not one.is_open]
            taken = await rows.list_subjects(decided)
            embeddings = FaceEmbeddingRepository(session, tenant_id, self._engine.protector)
            stored = await embeddings.read(gallery.collection_id, gallery.recognizer, list(photos))
            rejected = await rows.list_rejections(photos)
        probes = [
            ProbeFace(one.face_id, photos[one.face_id], {gallery.recognizer: one.embedding}, one.is_reliable)
            for one in stored
        ]
        suggestions = await self._matcher.match(tenant_id, people, probes, rejected, taken)
        async with self._database.transaction(tenant_id) as session:
            changes = await _write(SightingRepository(session, tenant_id), records, suggestions, rejected)
            if album is not None:
                events = announce_sightings(album.name, people, changes, suggestions, photos)
                await EventRepository(session, tenant_id).add(events)
        return len(photos)


async def _write(
    rows: SightingRepository,
    records: Sequence[SightingRecord],
    suggestions: Mapping[UUID, Suggestion],
    rejected: Rejected,
) -> list[SightingChange]:
    """Write what the machine found for these records; who decided what stays the same is kept.

    If somebody has decided or undone something about them meanwhile, it is found out again instead.

    Return the changes of state or subject.
    """
    found = await describe_changes(rows, suggestions)
    changes, different = list[SightingChange](), list[SightingChange]()
    face_ids = [one.face_id for one in records]
    locked = await rows.lock(face_ids)
    if list(map(_decision, locked)) != list(map(_decision, records)):
        await rows.mark_stale(face_ids)
        return []
    for record in locked:
        nobody = SightingState.REJECTED if record.face_id in rejected else SightingState.PENDING
        change = found.get(record.face_id, SightingChange(record.face_id, nobody))
        if record.is_open and not (change.subject_id is None and record.state is nobody):
            changes.append(change)
            if (change.state, change.subject_id) != (record.state, record.subject_id):
                different.append(change)
    await rows.change(changes)
    await rows.clear_stale(face_ids)
    return different


def _decision(record: SightingRecord) -> tuple[UUID, SightingState, UUID | None, str, datetime]:
    return record.face_id, record.state, record.subject_id, record.decided_by, record.decided_at
