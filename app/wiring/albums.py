"""Open the spool of waiting photos, and what stores the photos of one tenant."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from app.persistence.connections.database import Database
from app.persistence.repositories.album_people import AlbumPeopleRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.face_crops import FaceCropRepository
from app.persistence.repositories.photo_turns import PhotoTurnRepository
from app.persistence.repositories.sightings import SightingRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.template_protector import TemplateProtector
from app.security.photo_encryption import PhotoCipher
from app.services.albums.photo_storage import PhotoStorage
from app.services.audit.trail import AuditTrails
from app.services.collections.lookup import CollectionLookup
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.sightings.arrival import SightingStorage
from app.wiring.worker_storage import open_worker_storage


class StorageOpener:
    """Opens what stores the photos of one tenant, in one transaction."""

    def __init__(
        self,
        database: Database,
        directory: RecognizerDirectory,
        protector: TemplateProtector,
        trails: AuditTrails,
        cipher: PhotoCipher,
    ) -> None:
        self._cipher = cipher
        self._database = database
        self._directory = directory
        self._protector = protector
        self._trails = trails

    @asynccontextmanager
    async def open(self, tenant_id: UUID) -> AsyncIterator[PhotoStorage]:
        """Open a transaction that commits when the block ends; raises `TenantNotFound`."""
        async with self._database.transaction(tenant_id) as session:
            storage = await open_worker_storage(session, tenant_id, self._protector, self._trails)
            yield PhotoStorage(
                PhotoTurnRepository(session, tenant_id),
                CollectionLookup(CollectionRepository(session, tenant_id), self._directory),
                SubjectRepository(session, tenant_id),
                storage,
                FaceCropRepository(session, tenant_id, self._cipher),
                SightingStorage(AlbumPeopleRepository(session, tenant_id), SightingRepository(session, tenant_id)),
            )
