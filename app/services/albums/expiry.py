"""Erase albums whose end has passed, with their collections and waiting photos."""

from datetime import datetime
from uuid import UUID

from app.errors import AppError
from app.persistence.connections.database import Database
from app.persistence.repositories.albums import AlbumRepository, find_tenants_with_expired_albums
from app.persistence.repositories.collections import CollectionRepository
from app.services.audit.actions import AuditAction
from app.services.audit.trail import RETENTION, AuditTrails
from app.telemetry import get_logger

_log = get_logger(__name__)

_BATCH = 10


class AlbumExpiry:
    """Erases expired albums of all tenants; several processes may do so at the same time."""

    def __init__(self, database: Database, trails: AuditTrails) -> None:
        self._database = database
        self._trails = trails

    async def run(self, now: datetime) -> int:
        """Erase all expired albums; return how many there were."""
        erased = 0
        for tenant_id in await find_tenants_with_expired_albums(self._database):
            try:
                while count := await self._erase_batch(tenant_id, now):
                    erased += count
            except AppError as exc:  # the other tenants' albums are still erased
                _log.warning("albums_not_expired", tenant=str(tenant_id), code=exc.code)
        return erased

    async def _erase_batch(self, tenant_id: UUID, now: datetime) -> int:
        async with self._database.transaction(tenant_id) as session:
            expired = await AlbumRepository(session, tenant_id).list_expired(now, _BATCH)
            collections = CollectionRepository(session, tenant_id)
            trail = self._trails.open(session, tenant_id, RETENTION)
            for album in expired:
                if await collections.delete(album.name):
                    target = f"collection:{album.name}"
                    await trail.record(AuditAction.COLLECTION_ERASED, target, because="expired")
        return len(expired)
