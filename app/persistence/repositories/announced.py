"""What callers announce before they upload it to the bucket, photos and videos alike."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Uuid, any_, cast, func, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.persistence.connections.database import Database
from app.persistence.models import PhotoModel, VideoModel
from app.persistence.repositories.base import TenantRepository

_ANNOUNCED, _RECEIVED, _FAILED = "announced", "received", "failed"


class AnnouncedRepository(TenantRepository):
    """One tenant's announced rows of one kind; `received_at` is when they were announced."""

    _model: ClassVar[type[PhotoModel] | type[VideoModel]]
    _without_object: ClassVar[dict[str, Any]]
    """What a row is set to when its object shall leave the bucket; a trigger discards the object."""

    async def renew(self, ids: Iterable[UUID], **values: Any) -> None:
        """Announce rows again, with changed values: they are not forgotten before another hour."""
        await self._change(ids, received_at=func.now(), not_before=func.now(), **values)

    async def receive(self, ids: Iterable[UUID]) -> list[UUID]:
        """Receive announced rows whose object is in the bucket; return those that were not received before."""
        return await self._change(ids, state=_RECEIVED, received_at=func.now(), not_before=func.now())

    async def fail(self, ids: Iterable[UUID], code: str, detail: str) -> None:
        """Fail announced rows, and discard what lies in the bucket."""
        ended = {"state": _FAILED, "code": code, "detail": detail, "finished_at": func.now()}
        await self._change(ids, **ended, **self._without_object)

    async def look_later(self, ids: Iterable[UUID], pause_s: float) -> None:
        """Look for the objects of announced rows again after a pause."""
        await self._change(ids, not_before=func.now() + timedelta(seconds=pause_s))

    async def forget_old(self, ids: Iterable[UUID], age: timedelta) -> int:
        """Delete announcements that are older; return their number. A trigger discards what lies in the bucket."""
        is_old = self._model.received_at < func.now() - age
        statement = self._delete(self._model, self._is_announced(ids), is_old).returning(self._model.id)
        return len((await self._session.scalars(statement)).all())

    async def _change(self, ids: Iterable[UUID], **values: Any) -> list[UUID]:
        statement = self._update(self._model, self._is_announced(ids)).values(**values).returning(self._model.id)
        changed = await self._session.scalars(statement.execution_options(synchronize_session=False))
        return list(changed)

    def _is_announced(self, ids: Iterable[UUID]) -> Any:
        return (self._model.id == any_(cast(list(ids), ARRAY(Uuid)))) & (self._model.state == _ANNOUNCED)


async def list_announced(database: Database, function: str, limit: int) -> dict[UUID, list[UUID]]:
    """List up to `limit` announced rows of all tenants that were not looked for lately, by tenant.

    `function` is the one of the database that lists rows of this kind.
    """
    found: dict[UUID, list[UUID]] = {}
    async with database.transaction() as session:
        rows = await session.execute(text(f"SELECT * FROM {function}(:rows)"), {"rows": limit})  # noqa: S608 - our own
        for tenant_id, row_id in rows:
            found.setdefault(tenant_id, []).append(row_id)
    return found
