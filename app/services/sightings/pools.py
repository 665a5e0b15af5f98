"""Make a collection a pool: its anonymous faces are matched, grouped and decided like those of an album."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.albums import Pool
from app.errors import InvalidParameter, PoolNotFound
from app.persistence.repositories.album_people import AlbumPeopleRepository
from app.persistence.repositories.pools import PoolRepository
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.collections.lookup import CollectionLookup
from app.services.paging import MAX_PAGE

DEFAULT_RETAIN_DAYS = 30


@dataclass(frozen=True, slots=True)
class DescribedPool:
    """A pool, and the collections whose people are looked for in it."""

    collection: str
    pool: Pool
    people: list[str]


class PoolService:
    """The pools of the caller's collections, within one transaction."""

    def __init__(
        self,
        collections: CollectionLookup,
        pools: PoolRepository,
        looked_for: AlbumPeopleRepository,
        trail: AuditTrail,
    ) -> None:
        self._collections = collections
        self._pools = pools
        self._looked_for = looked_for
        self._trail = trail

    async def get(self, collection: str) -> DescribedPool:
        """Return a collection's pool; raises `CollectionNotFound` or `PoolNotFound`."""
        return await self._describe(collection, await self._collections.find_id(collection))

    async def list_names(self) -> list[str]:
        """List the names of the collections that are pools, at most 500."""
        return [name for name in await self._pools.list_names(MAX_PAGE) if self._collections.may_access(name)]

    async def set(self, collection: str, people: Sequence[str] | None, retain_days: int) -> DescribedPool:
        """Make a collection a pool with the anonymous faces that it has, or change it.

        `people` names the collections looked for, by default this one. Faces are erased `retain_days` after they came
        into the pool. Raises `CollectionNotFound`, or `InvalidParameter` for the collection of an album.
        """
        collection_id = await self._collections.find_id(collection, lock=True)
        if not await self._pools.save(collection_id, retain_days):
            raise InvalidParameter(
                f"collection: {collection!r} is an album; see `GET /albums/{collection}/sightings`.", field="collection"
            )
        names = [collection] if people is None else people
        await self._looked_for.replace(collection_id, [await self._collections.find_id(name) for name in names])
        await self._pools.fill(collection_id)
        await self._trail.record(
            AuditAction.POOL_SET, f"collection:{collection}", collection=collection, retain_days=retain_days
        )
        return await self._describe(collection, collection_id)

    async def delete(self, collection: str) -> None:
        """Forget a pool's groups and decisions; its faces stay. Raises `CollectionNotFound` or `PoolNotFound`."""
        if not await self._pools.delete(await self._collections.find_id(collection, lock=True)):
            raise PoolNotFound(f"Collection {collection!r} is no pool.")
        await self._trail.record(AuditAction.POOL_DELETED, f"collection:{collection}", collection=collection)

    async def _describe(self, collection: str, collection_id: UUID) -> DescribedPool:
        pool = await self._pools.find(collection_id)
        if pool is None:
            raise PoolNotFound(f"Collection {collection!r} is no pool.")
        people = await self._looked_for.list_names([collection_id])
        return DescribedPool(collection, pool, people[collection_id])
