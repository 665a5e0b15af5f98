"""Base of the repositories: the only file where tenant_id enters a query (a test forbids it elsewhere)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Delete, Select, Update, collate, delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.persistence.connections.database import ERASED, driver_connection
from app.persistence.erasure_journal import ErasedKind, JournalEntry
from app.persistence.models import GalleryModel, TenantOwned

M = TypeVar("M", bound=TenantOwned)


class TenantRepository:
    """Base of every repository of tenant-owned rows; its statements read and write one tenant's rows only."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    @property
    def tenant_id(self) -> UUID:
        return self._tenant_id

    async def _fetch_row(self, statement: str, *values: object) -> Any:
        """Run a statement on the driver's connection in this transaction; returns its first row, None for none.

        The statement's first parameter is the tenant's id, `values` are the others.
        """
        connection = await driver_connection(self._session)
        return await connection.fetchrow(statement, self._tenant_id, *values)

    def _of_tenant(self, model: type[TenantOwned]) -> ColumnElement[bool]:
        """Build the tenant condition for a table that is joined or counted."""
        return model.tenant_id == self._tenant_id

    def _select(self, model: type[M], *conditions: ColumnElement[bool]) -> Select[M]:
        # Overwrite objects in the session's identity map: upserts change rows without updating it.
        return select(model).where(self._of_tenant(model), *conditions).execution_options(populate_existing=True)

    def _update(self, model: type[TenantOwned], *conditions: ColumnElement[bool]) -> Update:
        return update(model).where(self._of_tenant(model), *conditions)

    def _delete(self, model: type[TenantOwned], *conditions: ColumnElement[bool]) -> Delete:
        return delete(model).where(self._of_tenant(model), *conditions)

    def _row(self, **values: object) -> dict[str, object]:
        """Build the values of a new row, including tenant_id."""
        return {"tenant_id": self._tenant_id, **values}

    async def _lock_galleries(self, *conditions: ColumnElement[bool]) -> None:
        """Lock galleries in a fixed order until the transaction ends.

        Call it before anything that locks the tenant's usage row, such as storing or erasing templates.
        """
        order = (GalleryModel.collection_id, collate(GalleryModel.recognizer, "C"))
        rows = select(GalleryModel.id).where(self._of_tenant(GalleryModel), *conditions).order_by(*order)
        await self._session.execute(rows.with_for_update(key_share=True))

    async def _reserve_seqs(self, gallery_id: UUID, count: int) -> range:
        """Reserve the gallery's next sequence numbers for templates that leave `count` old numbers unused."""
        columns = {"last_seq": GalleryModel.last_seq + count, "deletions": GalleryModel.deletions + count}
        statement = self._update(GalleryModel, GalleryModel.id == gallery_id).values(**columns)
        last = await self._session.scalar(statement.returning(GalleryModel.last_seq)) or 0
        return range(last - count + 1, last + 1)

    def _note_erased(self, kind: ErasedKind, ids: Iterable[UUID]) -> None:
        note_erased(self._session, [JournalEntry(kind, self._tenant_id, row_id) for row_id in ids])


def page_by_creation(
    statement: Select[Any], model: Any, after: tuple[datetime, UUID] | None, limit: int
) -> Select[Any]:
    """Limit a statement to rows after a time of creation and a row id, oldest first; `model` has both columns."""
    if after is not None:
        statement = statement.where(tuple_(model.created_at, model.id) > tuple_(*after))
    return statement.order_by(model.created_at, model.id).limit(limit)


def note_erased(session: AsyncSession, entries: Iterable[JournalEntry]) -> None:
    """Queue entries for the erasure journal, which is written after the commit.

    Every repository method that erases biometrics must call this.
    """
    session.info.setdefault(ERASED, []).extend(entries)
