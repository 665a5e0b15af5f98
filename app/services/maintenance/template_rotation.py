"""Rotate the protection of a tenant's templates gallery by gallery, without photos and without search downtime."""

from uuid import UUID

import numpy as np

from app.persistence.connections.database import Database
from app.persistence.job_queue import JobKind, enqueue
from app.persistence.repositories.face_crops import FaceCropRepository
from app.persistence.repositories.gallery_rotation import GalleryRotationRepository
from app.persistence.repositories.protections import ProtectionRepository
from app.persistence.repositories.webhooks import WebhookRepository
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from app.security.photo_encryption import PhotoCipher
from app.security.template_protection import Protection, rotate
from app.services.audit.actions import AuditAction
from app.services.audit.trail import OPERATOR, AuditTrails
from app.services.retries import retry_transient
from app.services.webhooks.secrets import WebhookCipher, encrypt_again

_BATCH_SIZE = 500
_ATTEMPTS = 10


class TemplateRotation:
    """Rotate one gallery per transaction; until that commits, searches and registrations use the old protection.

    Pictures of faces and the secrets of webhooks are encrypted again, too.
    """

    def __init__(self, database: Database, keyring: Keyring, trails: AuditTrails) -> None:
        self._database = database
        self._trails = trails
        self._protector = TemplateProtector(keyring)
        self._cipher = PhotoCipher(keyring)
        self._webhook_cipher = WebhookCipher(keyring)

    async def run(self, tenant_id: UUID) -> int:
        """Create a new salt and re-encode every template under it; return the number of templates.

        Run it again after an interruption: each gallery records the generation of its protection.
        """
        async with self._database.transaction(tenant_id) as session:
            # Waits for running registrations, so that the galleries they create under the old salt are visible below.
            new = await ProtectionRepository(session, tenant_id).add(self._protector.current_key_id)
        rotated = 0
        while galleries := await self._list_older(tenant_id, new):  # again for galleries created meanwhile
            for gallery_id in galleries:
                rotated += await self._rotate(tenant_id, gallery_id, new)
        await self._rotate_pictures(tenant_id)
        async with self._database.transaction(tenant_id) as session:
            await encrypt_again(WebhookRepository(session, tenant_id), self._webhook_cipher)
        async with self._database.transaction(tenant_id) as session:
            await ProtectionRepository(session, tenant_id).delete_unused()
            trail = self._trails.open(session, tenant_id, OPERATOR)
            await trail.record(AuditAction.TEMPLATES_ROTATED, faces=rotated, generation=new.generation)
        return rotated

    async def request(self, tenant_id: UUID) -> None:
        """Let a worker run it; a request that waits already counts for this one, too."""
        async with self._database.transaction(tenant_id) as session:
            await enqueue(session, JobKind.TEMPLATE_ROTATION, tenant_id, f"rotation:{tenant_id}")

    async def _rotate_pictures(self, tenant_id: UUID) -> None:
        """Encrypt the pictures of faces that albums keep under the current key."""
        looked_at = _BATCH_SIZE
        while looked_at == _BATCH_SIZE:
            async with self._database.transaction(tenant_id) as session:
                pictures = FaceCropRepository(session, tenant_id, self._cipher)
                looked_at = await pictures.encrypt_again(self._cipher.current_key_id, _BATCH_SIZE)

    async def _list_older(self, tenant_id: UUID, new: Protection) -> list[UUID]:
        async with self._database.transaction(tenant_id) as session:
            return await GalleryRotationRepository(session, tenant_id).list_older(new.generation)

    async def _rotate(self, tenant_id: UUID, gallery_id: UUID, new: Protection) -> int:
        async def rotate_once() -> int:
            async with self._database.transaction(tenant_id) as session:
                return await self._rotate_in(GalleryRotationRepository(session, tenant_id), gallery_id, new)

        return await retry_transient(rotate_once, _ATTEMPTS)  # a concurrent erasure may deadlock with it

    async def _rotate_in(self, rows: GalleryRotationRepository, gallery_id: UUID, new: Protection) -> int:
        old = await rows.lock(gallery_id)
        if old is None or old.generation >= new.generation:
            return 0
        conversion = await self._protector.derive_conversion(rows.tenant_id, old, new)
        after = rotated = 0
        while stored := await rows.list_after(gallery_id, after, _BATCH_SIZE):
            after = stored[-1].seq
            rotated += len(stored)
            embeddings = rotate(np.stack([template.embedding for template in stored]), conversion)
            await rows.write([template.seq for template in stored], list(embeddings), gallery_id)
        await rows.set_protection(gallery_id, new)
        return rotated
