"""The one place where tenant_id enters a query (a test forbids it elsewhere)."""

from collections.abc import Iterable
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Delete, Select, Update, collate, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.persistence.connections.database import ERASED
from app.persistence.erasure_journal import Erased, ErasedKind
from app.persistence.models import GalleryModel, TenantOwned

M = TypeVar("M", bound=TenantOwned)


class TenantRepository:
    """Base of every repository of tenant-owned rows: what it builds sees and touches one tenant only."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    @property
    def tenant_id(self) -> UUID:
        """The tenant in whose name the repository speaks."""
        return self._tenant_id

    def _own(self, model: type[TenantOwned]) -> ColumnElement[bool]:
        """The condition that a row is the tenant's; for joined and counted tables."""
        return model.tenant_id == self._tenant_id

    def _select(self, model: type[M], *conditions: ColumnElement[bool]) -> Select[M]:
        # What the database says wins over what the session remembers: upserts go past its memory.
        return select(model).where(self._own(model), *conditions).execution_options(populate_existing=True)

    def _update(self, model: type[TenantOwned], *conditions: ColumnElement[bool]) -> Update:
        return update(model).where(self._own(model), *conditions)

    def _delete(self, model: type[TenantOwned], *conditions: ColumnElement[bool]) -> Delete:
        return delete(model).where(self._own(model), *conditions)

    def _row(self, **values: object) -> dict[str, object]:
        """Values of a new row, with its tenant."""
        return {"tenant_id": self._tenant_id, **values}

    async def _lock_galleries(self, *conditions: ColumnElement[bool]) -> None:
        """Lock galleries, always in the same order, until the transaction ends; never after a tenant's usage."""
        order = (GalleryModel.collection_id, collate(GalleryModel.recognizer, "C"))
        held = select(GalleryModel.id).where(self._own(GalleryModel), *conditions).order_by(*order)
        await self._session.execute(held.with_for_update(key_share=True))

    def _note_erased(self, kind: ErasedKind, ids: Iterable[UUID]) -> None:
        """For the erasure journal, once this transaction has committed."""
        note_erased(self._session, [Erased(kind, self._tenant_id, one) for one in ids])


def note_erased(session: AsyncSession, erased: Iterable[Erased]) -> None:
    """Every repository that erases biometrics says so here."""
    session.info.setdefault(ERASED, []).extend(erased)
