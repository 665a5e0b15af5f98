"""Links by which guests search an album."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.albums import AlbumLink
from app.persistence.models import AlbumLinkModel, CollectionModel
from app.persistence.repositories.base import TenantRepository, page_by_creation


@dataclass(frozen=True, slots=True)
class StoredLink:
    """The stored part of a link, to verify a presented token against."""

    id: UUID
    tenant_id: UUID
    key_id: str
    """The service key under which the secret was hashed."""
    secret_hmac: bytes = field(repr=False)


class AlbumLinkRepository(TenantRepository):
    """The links of one tenant's albums that are neither revoked nor expired."""

    async def add(
        self, collection_id: UUID, *, public_id: str, key_id: str, secret_hmac: bytes, created_by: str, **terms: Any
    ) -> UUID:
        """Add a link and return its id; `terms` are `label`, `consent_text`, `rate` and `expires_at`."""
        row = AlbumLinkModel(
            **self._row(
                collection_id=collection_id,
                public_id=public_id,
                key_id=key_id,
                secret_hmac=secret_hmac,
                created_by=created_by,
                **terms,
            )
        )
        self._session.add(row)
        await self._session.flush()
        return row.id

    async def find(self, link_id: UUID) -> AlbumLink | None:
        found = await self._read(AlbumLinkModel.id == link_id, limit=1)
        return found[0] if found else None

    async def list_page(self, collection_id: UUID, after: tuple[datetime, UUID] | None, limit: int) -> list[AlbumLink]:
        """List up to `limit` links of an album after a position, oldest first."""
        return await self._read(AlbumLinkModel.collection_id == collection_id, after=after, limit=limit)

    async def revoke(self, collection_id: UUID, link_id: UUID) -> bool:
        """Revoke a link of an album; return False if there is none."""
        conditions = (AlbumLinkModel.id == link_id, AlbumLinkModel.collection_id == collection_id)
        statement = self._update(AlbumLinkModel, *conditions, AlbumLinkModel.revoked_at.is_(None))
        revoked = await self._session.scalar(statement.values(revoked_at=func.now()).returning(AlbumLinkModel.id))
        return revoked is not None

    async def count_search(self, link_id: UUID) -> None:
        statement = self._update(AlbumLinkModel, AlbumLinkModel.id == link_id)
        await self._session.execute(statement.values(searches=AlbumLinkModel.searches + 1))

    async def _read(self, *conditions: Any, after: tuple[datetime, UUID] | None = None, limit: int) -> list[AlbumLink]:
        is_live = (AlbumLinkModel.revoked_at.is_(None), AlbumLinkModel.expires_at > func.now())
        of_collection = (CollectionModel.id == AlbumLinkModel.collection_id) & self._of_tenant(CollectionModel)
        statement = self._select(AlbumLinkModel, *conditions, *is_live).join(CollectionModel, of_collection)
        columns: tuple[Any, ...] = (
            AlbumLinkModel.id,
            CollectionModel.name,
            AlbumLinkModel.label,
            AlbumLinkModel.consent_text,
            AlbumLinkModel.rate,
            AlbumLinkModel.searches,
            AlbumLinkModel.created_at,
            AlbumLinkModel.expires_at,
        )
        page = page_by_creation(statement.with_only_columns(*columns), AlbumLinkModel, after, limit)
        rows = await self._session.execute(page)
        return [AlbumLink(*row) for row in rows]


async def find_link(session: AsyncSession, public_id: str) -> StoredLink | None:
    """Find a link of any tenant, live or not; the transaction's `lookup` must be the public id."""
    row = await session.scalar(select(AlbumLinkModel).where(AlbumLinkModel.public_id == public_id))
    return StoredLink(row.id, row.tenant_id, row.key_id, row.secret_hmac) if row is not None else None
