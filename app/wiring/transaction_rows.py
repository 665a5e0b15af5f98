"""Construct one caller's repositories that share one transaction, and what services build from them."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.permissions import Principal
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.audit import AuditRepository
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.face_crops import FaceCropRepository
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.pools import PoolRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateStore
from app.persistence.repositories.usage import UsageRepository
from app.security.photo_encryption import PhotoCipher
from app.services.audit.trail import AuditTrail
from app.services.collections.lookup import CollectionLookup
from app.services.people.consent import ConsentGate
from app.services.people.face_storage import FaceStorage
from app.services.tenancy.quotas import QuotaService
from app.wiring.process import AppState


class TransactionRows:
    """The repositories of one caller in one transaction."""

    def __init__(self, state: AppState, principal: Principal, session: AsyncSession) -> None:
        self._state = state
        self._principal = principal
        self._session = session
        self._tenant_id = principal.tenant_id

    def _collection_rows(self) -> CollectionRepository:
        return CollectionRepository(self._session, self._tenant_id, self._principal.collections)

    def _album_rows(self) -> AlbumRepository:
        return AlbumRepository(self._session, self._tenant_id, self._principal.collections)

    def _collection_lookup(self) -> CollectionLookup:
        return CollectionLookup(self._collection_rows(), self._state.recognizers)

    def _pool_rows(self) -> PoolRepository:
        return PoolRepository(self._session, self._tenant_id)

    def _subject_rows(self) -> SubjectRepository:
        return SubjectRepository(self._session, self._tenant_id)

    def _face_rows(self) -> CollectionFaceRepository:
        return CollectionFaceRepository(self._session, self._tenant_id)

    def _face_storage(self) -> FaceStorage:
        templates = TemplateStore(self._session, self._tenant_id, self._state.search.protector)
        consent = ConsentGate(self._subject_rows(), self._policy_rows())
        return FaceStorage(templates, consent, self._quotas(), self._trail(), self._pool_rows())

    def _face_crops(self) -> FaceCropRepository:
        return FaceCropRepository(self._session, self._tenant_id, PhotoCipher(self._state.keyring))

    def _policy_rows(self) -> PolicyRepository:
        return PolicyRepository(self._session, self._tenant_id)

    def _audit_rows(self) -> AuditRepository:
        return AuditRepository(self._session, self._tenant_id)

    def _idempotency_records(self) -> IdempotencyRecords:
        return IdempotencyRecords(self._session, self._tenant_id)

    def _quotas(self) -> QuotaService:
        return QuotaService(UsageRepository(self._session, self._tenant_id), self._principal.plan)

    def _trail(self) -> AuditTrail:
        return self._state.trails.open(self._session, self._tenant_id, self._principal.name)
