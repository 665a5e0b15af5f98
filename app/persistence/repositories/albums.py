"""Albums: collections whose faces come from photos that the job queue processes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, text, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.albums import Album, AlbumKind, Keep, PhotoCounts
from app.errors import AlbumClosed, AlbumNotFound, PoolNotFound
from app.persistence.connections.database import Database
from app.persistence.models import AlbumModel, CollectionModel, PhotoModel
from app.persistence.repositories.base import TenantRepository


class AlbumRepository(TenantRepository):
    """One tenant's albums; `only` limits them to the collections that an API key may access."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, only: frozenset[str] | None = None) -> None:
        super().__init__(session, tenant_id)
        self._only = only

    def may_access(self, name: str) -> bool:
        """Whether the caller's key allows an album of this name."""
        return self._only is None or name in self._only

    async def add(
        self, collection_id: UUID, *, title: str | None, keep: Keep, expected: int | None, expires_at: datetime
    ) -> None:
        """Make a collection an album."""
        values = self._row(
            collection_id=collection_id, title=title, keep=keep.value, expected=expected, expires_at=expires_at
        )
        await self._session.execute(insert(AlbumModel).values(values))

    async def find(self, name: str, *, lock: bool = False) -> Album | None:
        """Find an album by its collection's name; `lock` prevents that it is closed or erased until the end."""
        statement = self._albums().where(CollectionModel.name == name)
        if lock:
            statement = statement.with_for_update(read=True, of=AlbumModel)
        row = (await self._session.execute(statement)).one_or_none()
        return _describe(row) if row is not None else None

    async def get(self, name: str, *, lock: bool = False) -> Album:
        """Find an album as `find` does; raises `AlbumNotFound`."""
        album = await self.find(name, lock=lock)
        if album is None:
            raise AlbumNotFound(f"There is no album {name!r}.")
        return album

    async def get_open(self, name: str) -> Album:
        """Find an album, locked so that it stays open; raises `AlbumNotFound` or `AlbumClosed`."""
        album = await self.get(name, lock=True)
        if album.closed_at is not None:
            raise AlbumClosed(f"Album {name!r} is closed since {album.closed_at.isoformat()}; reopen it with PATCH.")
        return album

    async def get_id(self, name: str, kind: AlbumKind) -> UUID:
        """Find the collection's id of an album or a pool; raises `AlbumNotFound` or `PoolNotFound`."""
        if kind is AlbumKind.ALBUM:
            return (await self.get(name)).collection_id
        statement = self._of_kind(kind).where(CollectionModel.name == name)
        row = (await self._session.execute(statement)).one_or_none()
        if row is None:
            raise PoolNotFound(f"Collection {name!r} is no pool.")
        found: UUID = row[0]
        return found

    async def list_page(self, after: str | None, limit: int) -> list[Album]:
        """List up to `limit` albums after the name `after`, by name."""
        statement = self._albums().order_by(CollectionModel.name).limit(limit)
        if after is not None:
            statement = statement.where(CollectionModel.name > after)
        return [_describe(row) for row in await self._session.execute(statement)]

    async def list_expired(self, now: datetime, limit: int) -> list[Album]:
        """List up to `limit` albums whose end has passed."""
        statement = self._albums().where(AlbumModel.expires_at <= now).order_by(AlbumModel.expires_at).limit(limit)
        return [_describe(row) for row in await self._session.execute(statement)]

    async def update(self, collection_id: UUID, values: Mapping[str, Any]) -> None:
        """Set `title`, `expected`, `expires_at` or `closed_at`."""
        statement = self._update(AlbumModel, AlbumModel.collection_id == collection_id)
        await self._session.execute(statement.values(**values))

    async def count_photos(self, collection_ids: list[UUID]) -> dict[UUID, PhotoCounts]:
        """Count the photos of albums by state, and their stored faces."""
        counted = (
            select(
                PhotoModel.collection_id, PhotoModel.state, func.count(), func.coalesce(func.sum(PhotoModel.faces), 0)
            )
            .where(self._of_tenant(PhotoModel), PhotoModel.collection_id.in_(collection_ids))
            .group_by(PhotoModel.collection_id, PhotoModel.state)
        )
        states: dict[UUID, dict[str, int]] = {collection_id: {"faces": 0} for collection_id in collection_ids}
        for collection_id, state, count, faces in await self._session.execute(counted):
            states[collection_id][state] = count
            states[collection_id]["faces"] += faces or 0
        return {collection_id: PhotoCounts(**found) for collection_id, found in states.items()}

    def _albums(self) -> Select[Any]:
        return self._of_kind(AlbumKind.ALBUM)

    def _of_kind(self, kind: AlbumKind) -> Select[Any]:
        of_album = (CollectionModel.id == AlbumModel.collection_id) & self._of_tenant(CollectionModel)
        visible = true() if self._only is None else CollectionModel.name.in_(self._only)
        columns: tuple[Any, ...] = (
            AlbumModel.collection_id,
            CollectionModel.name,
            AlbumModel.title,
            AlbumModel.keep,
            AlbumModel.expected,
            AlbumModel.created_at,
            AlbumModel.expires_at,
            AlbumModel.closed_at,
        )
        return (
            self._select(AlbumModel, visible, AlbumModel.kind == kind.value)
            .join(CollectionModel, of_album)
            .with_only_columns(*columns)
        )


async def find_tenants_with_expired_albums(database: Database) -> list[UUID]:
    """Find the tenants with albums whose end has passed."""
    async with database.transaction() as session:
        return list(await session.scalars(text("SELECT vultus_tenants_with_expired_albums()")))


async def count_photos_of(database: Database, watched: list[tuple[UUID, UUID]]) -> dict[UUID, PhotoCounts]:
    """Count the photos of albums of any tenants, given as tenant and collection ids, in one statement.

    An album that does not exist anymore is missing.
    """
    statement = text("SELECT * FROM vultus_count_photos(CAST(:tenants AS uuid[]), CAST(:albums AS uuid[]))")
    values = {"tenants": [tenant for tenant, _ in watched], "albums": [album for _, album in watched]}
    async with database.transaction() as session:
        rows = (await session.execute(statement, values)).all()
    return {
        row.album: PhotoCounts(row.announced, row.received, row.working, row.done, row.failed, row.faces)
        for row in rows
    }


def _describe(row: Any) -> Album:
    collection_id, name, title, keep, expected, created_at, expires_at, closed_at = row
    return Album(collection_id, name, title, Keep(keep), expected, created_at, expires_at, closed_at)
