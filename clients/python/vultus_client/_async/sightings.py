"""Sightings and clusters: say who is who in albums, videos and pools, and take it back."""

from collections.abc import AsyncIterator, Iterable, Sequence

from vultus_client._async.transport import AsyncResource
from vultus_client.calls import Call, body, path
from vultus_client.models import (
    ChangedClusterOut,
    ClusterOut,
    DecidedSightingOut,
    DecidedSightingsOut,
    SightingDecisionIn,
    SightingOut,
    SplitClusterOut,
    UndoneOut,
)


class AsyncSightings(AsyncResource):
    """Faces that were seen, and who they are thought to show."""

    def in_pool(self, collection: str, *, state: str | None = None) -> AsyncIterator[SightingOut]:
        """Yield the sightings of a pool; `albums.sightings` and `subjects.sightings` yield others."""
        where = path("collections", collection, "sightings")
        return self._pages(Call[SightingOut]("GET", where, query={"state": state}))

    async def confirm(
        self, face_id: str, *, person: tuple[str, str] | None = None, as_template: bool | None = None
    ) -> DecidedSightingOut:
        """Confirm who is seen, or say who it is (collection, subject)."""
        named = None if person is None else {"collection": person[0], "subject": person[1]}
        sent = body(person=named, as_template=as_template)
        return await self._send(Call[DecidedSightingOut]("POST", path("sightings", face_id, "confirm"), body=sent))

    async def reject(self, face_id: str) -> DecidedSightingOut:
        """Say that it is somebody else."""
        return await self._send(Call[DecidedSightingOut]("POST", path("sightings", face_id, "reject")))

    async def ignore(self, face_id: str) -> DecidedSightingOut:
        """Leave a face out of lists for review."""
        return await self._send(Call[DecidedSightingOut]("POST", path("sightings", face_id, "ignore")))

    async def decide(self, decisions: Iterable[SightingDecisionIn]) -> DecidedSightingsOut:
        """Decide up to 1,000 sightings in one operation."""
        sent = {"decisions": [*decisions]}
        return await self._send(Call[DecidedSightingsOut]("POST", "/sightings/decide", body=sent))

    async def undo(self, operation_id: str) -> UndoneOut:
        """Take back a decision or a change of clusters."""
        return await self._send(Call[UndoneOut]("POST", path("operations", operation_id, "undo")))


class AsyncClusters(AsyncResource):
    """Groups of unknown faces."""

    def in_pool(self, collection: str) -> AsyncIterator[ClusterOut]:
        """Yield the clusters of a pool; `albums.clusters` yields those of an album."""
        return self._pages(Call[ClusterOut]("GET", path("collections", collection, "clusters")))

    async def assign(self, cluster_id: str, *, collection: str, subject: str) -> ChangedClusterOut:
        """Say who all faces of a cluster show."""
        sent = body(collection=collection, subject=subject)
        return await self._send(Call[ChangedClusterOut]("POST", path("clusters", cluster_id, "assign"), body=sent))

    async def merge(self, cluster_id: str, other: str) -> ChangedClusterOut:
        """Say that two clusters show one person."""
        sent = {"cluster_id": other}
        return await self._send(Call[ChangedClusterOut]("POST", path("clusters", cluster_id, "merge"), body=sent))

    async def split(self, cluster_id: str, face_ids: Sequence[str]) -> SplitClusterOut:
        """Say that some faces of a cluster show somebody else."""
        sent = {"face_ids": [*face_ids]}
        return await self._send(Call[SplitClusterOut]("POST", path("clusters", cluster_id, "split"), body=sent))
