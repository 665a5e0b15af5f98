"""Receive what callers have uploaded to the bucket, photos and videos alike, and forget what never arrives."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from app.errors import AppError
from app.persistence.connections.database import Database, Transaction
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.announced import AnnouncedRepository

FORGOTTEN_AFTER = timedelta(hours=1)
_OBJECTS_A_ROUND = 100
_PAUSE_S = 30.0
"""An object that is not there is looked for again after this time."""


class AnnouncedKind(Protocol):
    """What is announced: photos or videos."""

    @property
    def max_bytes(self) -> int: ...

    def open(self, session: Transaction, tenant_id: UUID) -> AnnouncedRepository: ...

    async def list_waiting(self, database: Database, limit: int) -> dict[UUID, list[UUID]]: ...

    async def request_turn(self, session: Transaction, tenant_id: UUID, received: Sequence[UUID]) -> None: ...

    def describe_too_large(self) -> AppError: ...


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Which of some announced objects are not in the bucket, and which are there but too large."""

    missing: frozenset[UUID]
    too_large: frozenset[UUID]


class UploadedObjects:
    """Looks for announced objects in the bucket. Several processes may do so at the same time."""

    def __init__(self, database: Database, spool: PhotoSpool, kind: AnnouncedKind) -> None:
        self._database = database
        self._spool = spool
        self._kind = kind

    async def receive(self, tenant_id: UUID, ids: Sequence[UUID]) -> Arrivals:
        """Receive those that are there, fail those that are too large; raises `PhotoStoreUnavailable`."""
        sizes = await asyncio.gather(*(self._spool.measure(tenant_id, one) for one in ids))
        arrived: list[UUID] = []
        too_large: list[UUID] = []
        missing: list[UUID] = []
        for one, size in zip(ids, sizes, strict=True):
            place = missing if size is None else too_large if size > self._kind.max_bytes else arrived
            place.append(one)
        if arrived or too_large:
            error = self.describe_too_large()
            async with self._database.transaction(tenant_id) as session:
                rows = self._kind.open(session, tenant_id)
                await rows.fail(too_large, error.code, error.detail)
                received = await rows.receive(arrived)
                if received:
                    await self._kind.request_turn(session, tenant_id, received)
        return Arrivals(frozenset(missing), frozenset(too_large))

    def describe_too_large(self) -> AppError:
        """Describe what became of an upload that the bucket should have refused."""
        return self._kind.describe_too_large()

    async def look_once(self) -> None:
        """Look for up to 100 objects of all tenants that were not looked for lately."""
        for tenant_id, ids in (await self._kind.list_waiting(self._database, _OBJECTS_A_ROUND)).items():
            arrivals = await self.receive(tenant_id, ids)
            if arrivals.missing:
                async with self._database.transaction(tenant_id) as session:
                    rows = self._kind.open(session, tenant_id)
                    await rows.forget_old(arrivals.missing, FORGOTTEN_AFTER)
                    await rows.look_later(arrivals.missing, _PAUSE_S)
