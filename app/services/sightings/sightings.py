"""List sightings, decide them as a person, and undo what was decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.albums import AlbumKind
from app.domain.sightings import MACHINE, Sighting, SightingState, Verdict
from app.errors import AppError, InvalidParameter, SightingNotFound
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.clusters import ClusterRepository
from app.persistence.repositories.operations import ClusterChange, Operation, OperationRepository
from app.persistence.repositories.sightings import SightingChange, SightingRecord, SightingRepository
from app.persistence.repositories.templates import NewFace
from app.security.cursors import CursorSigner, read_number
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.paging import Page, PageRequest, bind_filters, cut_page
from app.services.sightings.announcing import announce_matched
from app.services.sightings.enrolling import SightingEnrolment
from app.services.sightings.named_people import NamedPerson, PersonDirectory
from app.services.sightings.snapshots import describe_record


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person says about one face. Without `person`, a confirmation means the suggested subject.

    `as_template` also stores the face for that subject, so that searches find the subject by it.
    """

    face_id: UUID
    verdict: Verdict
    person: NamedPerson | None = None
    as_template: bool = False


@dataclass(frozen=True, slots=True)
class DecidedSightings:
    """The operations, by which it can be undone, and for each face its sighting or why it was not decided.

    `stored` are the ids of the faces that were stored for subjects, by the album's face.
    """

    operation_ids: list[UUID]
    results: list[Sighting | AppError]
    stored: dict[UUID, UUID]


class SightingService:
    """The sightings in the caller's albums, within one transaction."""

    def __init__(
        self,
        albums: AlbumRepository,
        sightings: SightingRepository,
        operations: OperationRepository,
        clusters: ClusterRepository,
        people: PersonDirectory,
        enrolment: SightingEnrolment,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        self._albums = albums
        self._sightings = sightings
        self._operations = operations
        self._clusters = clusters
        self._people = people
        self._enrolment = enrolment
        self._cursors = cursors
        self._trail = trail

    async def list_in_album(
        self,
        name: str,
        request: PageRequest,
        state: SightingState | None = None,
        cluster_id: UUID | None = None,
        *,
        kind: AlbumKind = AlbumKind.ALBUM,
    ) -> Page[Sighting]:
        """List one page of the sightings of an album or a pool, in the order of arrival.

        Raises `AlbumNotFound` or `PoolNotFound`.
        """
        album_id = await self._albums.get_id(name, kind)
        scope = bind_filters(
            f"{self._sightings.tenant_id}/albums/{album_id}/sightings", state=state, cluster=cluster_id
        )
        after = self._cursors.open(scope, request.cursor, read_number) if request.cursor else None
        found = await self._sightings.list_page(
            collection_id=album_id, state=state, cluster_id=cluster_id, after=after, limit=request.limit + 1
        )
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.seq)))

    async def list_of_subject(
        self, collection: str, subject: str, request: PageRequest, state: SightingState | None = None
    ) -> Page[Sighting]:
        """List one page of where a subject was seen; raises `CollectionNotFound` or `SubjectNotFound`."""
        subject_id = await self._people.find_id(NamedPerson(collection, subject))
        scope = bind_filters(f"{self._sightings.tenant_id}/subjects/{subject_id}/sightings", state=state)
        after = self._cursors.open(scope, request.cursor, read_number) if request.cursor else None
        found = await self._sightings.list_page(
            subject_id=subject_id, state=state, after=after, limit=request.limit + 1
        )
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.seq)))
        return Page([one for one in page.items if self._albums.may_access(one.album)], page.next_cursor)

    async def decide(self, decided: Sequence[Decided]) -> DecidedSightings:
        """Decide sightings, each once; the machine never changes what a person decided.

        One operation for each album undoes it. A face without a sighting, or a subject that does not exist, yields an
        error for that face alone. Raises `QuotaExceeded` if the tenant may not store so many templates.
        """
        await self._lock_people(decided)
        albums = await self._sightings.find_albums([one.face_id for one in decided])
        records = {record.face_id: record for record in await self._sightings.lock(albums)}
        errors, stored = dict[UUID, AppError](), dict[UUID, NewFace]()
        by_album: dict[tuple[UUID, str], list[Decided]] = {}
        for one in decided:
            album = albums.get(one.face_id)
            if album is None or one.face_id not in records or not self._albums.may_access(album[1]):
                errors[one.face_id] = SightingNotFound(f"face_id: no sighting has the face {one.face_id}.")
            else:
                by_album.setdefault(album, []).append(one)
        operation_ids = [
            await self._decide_in(album, chosen, records, errors, stored) for album, chosen in by_album.items()
        ]
        found = {one.face_id: one for one in await self._sightings.find(list(records))}
        changed = {one.face_id for chosen in by_album.values() for one in chosen} - set(errors)
        await self._trail.events.add(announce_matched(found[face_id] for face_id in changed))
        results = [errors.get(one.face_id) or found[one.face_id] for one in decided]
        await self._enrolment.store(list(stored.values()))
        stored_ids = {face_id: new.id for face_id, new in stored.items()}
        return DecidedSightings([one for one in operation_ids if one is not None], results, stored_ids)

    async def _lock_people(self, decided: Sequence[Decided]) -> None:
        """Lock the subjects for whom faces are to be stored, before any sighting."""
        enrolled = {one.face_id: one.person for one in decided if one.as_template}
        if not enrolled:
            return
        people = {person for person in enrolled.values() if person is not None}
        suggested = [face_id for face_id, person in enrolled.items() if person is None]
        for one in await self._sightings.find(suggested) if suggested else ():
            if one.subject is not None:
                people.add(NamedPerson(one.subject.collection, one.subject.subject))
        await self._enrolment.lock(people)

    async def _decide_in(
        self,
        album: tuple[UUID, str],
        decided: Sequence[Decided],
        records: Mapping[UUID, SightingRecord],
        errors: dict[UUID, AppError],
        stored: dict[UUID, NewFace],
    ) -> UUID | None:
        """Decide sightings of one album, given by id and name; add to `errors` and `stored`."""
        changes, rejections, reopened = list[SightingChange](), list[tuple[UUID, UUID]](), list[UUID]()
        for one in decided:
            record = records[one.face_id]
            try:
                change = await self._apply(one, record)
                if one.as_template:
                    stored[one.face_id] = await self._enrolment.prepare(one.face_id, change.subject_id)
            except AppError as exc:
                errors[one.face_id] = exc
                continue
            if one.verdict is Verdict.REOPEN:
                reopened.append(one.face_id)
            elif one.verdict is Verdict.REJECT and record.subject_id is not None:
                rejections.append((one.face_id, record.subject_id))
            changes.append(change)
        if not changes:
            return None
        removed = await self._sightings.list_rejected_ids(reopened)
        before = [describe_record(records[change.face_id]) for change in changes]
        clusters = {face_id: found for one in changes if (found := records[face_id := one.face_id].cluster_id)}
        operation_id = await self._operations.add(
            album[0],
            "decide",
            self._trail.actor,
            before,
            rejections=rejections,
            removed=removed,
            clusters=ClusterChange(clusters),
            stored=[(new.subject_id, new.id) for one in decided if (new := stored.get(one.face_id))],
        )
        await self._sightings.remove_rejections(removed)
        await self._sightings.add_rejections(rejections, self._trail.actor)
        await self._write(changes, set(reopened))
        confirmed = [change.face_id for change in changes if change.state is SightingState.MATCHED]
        beside = await self._sightings.list_beside(confirmed)  # nobody is matched twice in one photo
        await self._sightings.mark_stale([*reopened, *(face_id for face_id, _ in rejections), *beside])
        await self._trail.record(
            AuditAction.SIGHTINGS_DECIDED, f"collection:{album[1]}", collection=album[1], faces=len(changes)
        )
        return operation_id

    async def _write(self, changes: Sequence[SightingChange], reopened: set[UUID]) -> None:
        await self._sightings.change([one for one in changes if one.face_id not in reopened], self._trail.actor)
        await self._sightings.change([one for one in changes if one.face_id in reopened], MACHINE)

    async def _apply(self, one: Decided, record: SightingRecord) -> SightingChange:
        """Return what the sighting becomes; raises `InvalidParameter`, `CollectionNotFound` or `SubjectNotFound`."""
        if one.verdict is Verdict.IGNORE:
            return SightingChange(one.face_id, SightingState.IGNORED)
        if one.verdict is Verdict.REOPEN:
            return SightingChange(one.face_id, SightingState.PENDING)
        if one.verdict is Verdict.REJECT:
            if record.subject_id is None:
                raise InvalidParameter("verdict: nobody is suggested for this face, so nothing can be rejected.")
            return SightingChange(one.face_id, SightingState.REJECTED)
        subject_id = record.subject_id if one.person is None else await self._people.find_id(one.person)
        if subject_id is None:
            raise InvalidParameter("person: nobody is suggested for this face; say whom it shows.")
        if subject_id == record.subject_id:
            known = (record.matched_face_id, record.similarity, record.false_match_rate)
            return SightingChange(one.face_id, SightingState.MATCHED, subject_id, *known)
        return SightingChange(one.face_id, SightingState.MATCHED, subject_id)

    async def undo(self, operation_id: UUID) -> int:
        """Undo an operation; return how many sightings are as before.

        Raises `OperationNotFound`, `OperationUndone`, or `OperationSuperseded` if a person has decided one of its faces
        again since then.
        """
        operation = await self._operations.lock(operation_id)
        await self._enrolment.remove(operation.stored)
        await self._clusters.read_album(operation.collection_id, lock=True)
        records = await self._sightings.lock(operation.face_ids)
        operation.refuse_superseded(records)
        await self._sightings.restore(operation.before)
        await self._sightings.remove_rejections(operation.rejections)
        await self._sightings.add_rejections(operation.removed, self._trail.actor)
        await self._sightings.mark_stale(
            [record.face_id for record in records if record.face_id in operation.machine_decided]
        )
        moved = await self._restore_clusters(operation)
        await self._operations.mark_undone(operation_id)
        restored = len(records) or moved
        await self._trail.record(AuditAction.OPERATION_UNDONE, f"operation:{operation_id}", faces=restored)
        return restored

    async def _restore_clusters(self, operation: Operation) -> int:
        """Move faces back to the clusters that they were in; return how many were in one."""
        change = operation.clusters
        if not change.before:
            return 0
        await self._clusters.write(change.before)
        await self._clusters.remove_constraints(change.said)
        await self._clusters.note_change(operation.collection_id)
        return len(change.before)
