"""List clusters of an album's unknown faces, and name, merge or split them as a person."""

from collections.abc import Collection, Sequence
from uuid import UUID, uuid4

from app.domain.albums import AlbumKind
from app.domain.events import Event, EventType
from app.domain.sightings import FaceCluster, FacePair, SightingState
from app.errors import ClusterNotFound, ClustersConflict, InvalidParameter
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.clusters import ClusterRepository
from app.persistence.repositories.operations import ClusterChange, OperationRepository
from app.persistence.repositories.sightings import SightingChange, SightingRepository
from app.security.cursors import CursorSigner, read_numbered
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.paging import Page, PageRequest, cut_page
from app.services.sightings.named_people import NamedPerson, PersonDirectory
from app.services.sightings.snapshots import describe_record

_MAX_PAIRS = 2_000
"""How many pairs of faces one split may note."""


class ClusterService:
    """The clusters in the caller's albums, within one transaction."""

    def __init__(
        self,
        albums: AlbumRepository,
        clusters: ClusterRepository,
        sightings: SightingRepository,
        operations: OperationRepository,
        people: PersonDirectory,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        self._albums = albums
        self._clusters = clusters
        self._sightings = sightings
        self._operations = operations
        self._people = people
        self._cursors = cursors
        self._trail = trail

    async def list_in_album(
        self, name: str, request: PageRequest, *, kind: AlbumKind = AlbumKind.ALBUM
    ) -> Page[FaceCluster]:
        """List one page of the clusters of an album or a pool, those with the most faces first.

        Raises `AlbumNotFound` or `PoolNotFound`.
        """
        album_id = await self._albums.get_id(name, kind)
        scope = f"{self._clusters.tenant_id}/albums/{album_id}/clusters"
        position = self._cursors.open(scope, request.cursor, read_numbered) if request.cursor else None
        after = (position[1], position[0]) if position is not None else None
        found = await self._clusters.list_page(album_id, after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, f"{last.id.hex}:{last.faces}"))

    async def assign(self, cluster_id: UUID, person: NamedPerson) -> tuple[UUID, int]:
        """Say whom all faces of a cluster show; return the operation, by which it can be undone, and their number.

        Raises `ClusterNotFound`, `CollectionNotFound` or `SubjectNotFound`.
        """
        album_id, name, faces = await self._lock(cluster_id)
        subject_id = await self._people.find_id(person)
        records = await self._sightings.lock(faces)
        before = [describe_record(record) for record in records]
        change = ClusterChange(dict.fromkeys(faces, cluster_id))
        operation_id = await self._operations.add(album_id, "assign", self._trail.actor, before, clusters=change)
        changes = [SightingChange(record.face_id, SightingState.MATCHED, subject_id) for record in records]
        await self._sightings.change(changes, self._trail.actor)
        ids = {"album": name, "cluster_id": str(cluster_id), "faces": len(faces)}
        await self._record(
            name, len(faces), [Event(EventType.CLUSTER_ASSIGNED, person.collection, person.subject, ids)]
        )
        return operation_id, len(faces)

    async def merge(self, cluster_id: UUID, other_id: UUID) -> tuple[UUID, int]:
        """Merge another cluster of the same album into one, and keep their faces together from now on.

        Returns the operation and how many faces joined. Raises `ClusterNotFound`, or `ClustersConflict` if a photo has
        faces in both or a person has split them.
        """
        if cluster_id == other_id:
            raise InvalidParameter("cluster_id: a cluster cannot be merged into itself.")
        album_id, name, kept = await self._lock(cluster_id)
        other_album, _, joined = await self._lock(other_id)
        if other_album != album_id:
            raise ClustersConflict("The clusters belong to different albums.")
        shared = set(kept.values()) & set(joined.values())
        if shared:
            raise ClustersConflict(f"{len(shared)} photos, such as {min(shared)}, have a face in both clusters.")
        apart = await self._clusters.find_separated(kept, joined)
        if apart:
            raise ClustersConflict(
                f"Somebody said that face {apart[0].first} and face {apart[0].second} show two people; undo that first."
            )
        together = [FacePair(min(kept), min(joined), are_same=True)]
        return await self._move(album_id, name, "merge", cluster_id, dict.fromkeys(joined, other_id), together)

    async def split(self, cluster_id: UUID, face_ids: Sequence[UUID]) -> tuple[UUID, UUID, int]:
        """Move some faces of a cluster to a new one, and keep them apart from the others from now on.

        Returns the operation, the new cluster, and how many faces it has. Raises `ClusterNotFound`, `InvalidParameter`
        if a face is not in the cluster or none would stay, or `ClustersConflict` if somebody said that one of them
        belongs to one that stays.
        """
        album_id, name, faces = await self._lock(cluster_id)
        leaving = set(face_ids)
        unknown = leaving - set(faces)
        if unknown:
            raise InvalidParameter(f"face_ids: the cluster has no face {min(unknown)}.")
        staying = set(faces) - leaving
        if not staying:
            raise InvalidParameter(f"face_ids: all {len(faces)} faces of the cluster are listed; at least 1 must stay.")
        for pair in await self._clusters.list_constraints(album_id):
            if pair.are_same and len({pair.first, pair.second} & leaving) == 1 and {pair.first, pair.second} & staying:
                raise ClustersConflict(
                    f"Somebody said that face {pair.first} and face {pair.second} show one person; undo that first."
                )
        new_id = uuid4()
        apart = _separate(leaving, staying)
        moved = await self._move(album_id, name, "split", new_id, dict.fromkeys(leaving, cluster_id), apart)
        return moved[0], new_id, moved[1]

    async def _move(
        self, album_id: UUID, name: str, kind: str, cluster_id: UUID, before: dict[UUID, UUID], said: list[FacePair]
    ) -> tuple[UUID, int]:
        """Move faces, given with the clusters that they were in, to a cluster, and note what was said by it."""
        added = await self._clusters.add_constraints(album_id, said, self._trail.actor)
        change = ClusterChange(before, added)
        operation_id = await self._operations.add(album_id, kind, self._trail.actor, [], clusters=change)
        await self._clusters.write(dict.fromkeys(before, cluster_id))
        await self._clusters.note_change(album_id)
        await self._record(name, len(before))
        return operation_id, len(before)

    async def _lock(self, cluster_id: UUID) -> tuple[UUID, str, dict[UUID, UUID]]:
        """Keep a cluster's album as it is; return its id and name, and the cluster's faces with their photos."""
        album = await self._clusters.find_album(cluster_id)
        if album is None or not self._albums.may_access(album[1]):
            raise ClusterNotFound(f"There is no cluster {cluster_id}.")
        await self._clusters.read_album(album[0], lock=True)
        faces = await self._clusters.list_faces(cluster_id)
        if not faces:
            raise ClusterNotFound(f"There is no cluster {cluster_id}.")
        return *album, faces

    async def _record(self, name: str, faces: int, events: Sequence[Event] = ()) -> None:
        await self._trail.record(
            AuditAction.CLUSTERS_CHANGED, f"collection:{name}", events=events, collection=name, faces=faces
        )


def _separate(leaving: Collection[UUID], staying: Collection[UUID]) -> list[FacePair]:
    """Return pairs of faces that keep two groups apart, also when the clusters are made anew.

    All pairs of small groups; of large ones each face with one of the others, so that the number grows with the faces.
    """
    if len(leaving) * len(staying) <= _MAX_PAIRS:
        pairs = {(face, other) for face in leaving for other in staying}
    else:
        pairs = {(face, min(staying)) for face in leaving} | {(min(leaving), other) for other in staying}
    return [FacePair(face, other, are_same=False) for face, other in sorted(pairs)]
