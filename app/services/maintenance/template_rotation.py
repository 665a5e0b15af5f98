"""Gives a tenant's templates another protection, without any photo: gallery by gallery, searchable all the while."""

from uuid import UUID

import numpy as np

from app.persistence.connections.database import Database
from app.persistence.repositories.gallery_rotation import GalleryRotationRepository
from app.persistence.repositories.protections import ProtectionRepository
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from app.security.template_protection import Protection, rotate
from app.services.audit.trail import OPERATOR, AuditAction, AuditTrails
from app.services.retries import retry_transient

_AT_A_TIME = 500
_ATTEMPTS = 10


class TemplateRotation:
    """Works in one transaction a gallery: until it commits, searches and registrations go by the old protection."""

    def __init__(self, database: Database, keyring: Keyring, trails: AuditTrails) -> None:
        self._database = database
        self._trails = trails
        self._protector = TemplateProtector(keyring)

    async def run(self, tenant_id: UUID) -> int:
        """Make a new salt and store every template under it; how many there were.

        What was interrupted is taken up by running it again: galleries not yet turned still say so.
        """
        async with self._database.transaction(tenant_id) as session:
            # Waits for registrations under way: whatever salt they took, their gallery is seen from here on.
            new = await ProtectionRepository(session, tenant_id).begin(self._protector.current_key_id)
        turned = 0
        while galleries := await self._list_older(tenant_id, new):  # again for those that were made meanwhile
            for gallery_id in galleries:
                turned += await self._turn(tenant_id, gallery_id, new)
        async with self._database.transaction(tenant_id) as session:
            await ProtectionRepository(session, tenant_id).drop_unused()
            trail = self._trails.open(session, tenant_id, OPERATOR)
            await trail.record(AuditAction.TEMPLATES_ROTATED, faces=turned, generation=new.generation)
        return turned

    async def _list_older(self, tenant_id: UUID, new: Protection) -> list[UUID]:
        async with self._database.transaction(tenant_id) as session:
            return await GalleryRotationRepository(session, tenant_id).list_older(new.generation)

    async def _turn(self, tenant_id: UUID, gallery_id: UUID, new: Protection) -> int:
        async def turn() -> int:
            async with self._database.transaction(tenant_id) as session:
                return await self._turn_in(GalleryRotationRepository(session, tenant_id), gallery_id, new)

        return await retry_transient(turn, _ATTEMPTS)  # an erasure that locks the other way round may end it

    async def _turn_in(self, rows: GalleryRotationRepository, gallery_id: UUID, new: Protection) -> int:
        old = await rows.lock(gallery_id)
        if old is None or old.generation >= new.generation:
            return 0
        change = await self._protector.change(rows.tenant_id, old, new)
        after = turned = 0
        while stored := await rows.read_on(gallery_id, after, _AT_A_TIME):
            after = stored[-1].seq
            turned += len(stored)
            embeddings = rotate(np.stack([one.embedding for one in stored]), change)
            await rows.write([one.seq for one in stored], list(embeddings), gallery_id)
        await rows.set_protection(gallery_id, new)
        return turned
