"""Which service is made of what, for one caller: used by FastAPI's dependencies and by the Rekognition protocol."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncSession

from app.matcher.face_search import FaceSearch
from app.permissions import Permission, Principal
from app.persistence.repositories.answers import AnswerRepository
from app.persistence.repositories.audit import AuditRepository
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.keys import AccessKeyRepository, ApiKeyRepository
from app.persistence.repositories.object_stores import ObjectStoreRepository
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.recognizers import RecognizerRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository, TemplateStore
from app.persistence.repositories.usage import UsageRepository
from app.persistence.repositories.usage_days import UsageDayRepository
from app.persistence.repositories.users import UserRepository
from app.routes.state import AppState
from app.services.audit import AuditService, AuditTrail
from app.services.calibration import CalibrationService
from app.services.collection_faces import CollectionFaceService
from app.services.collection_recognizers import CollectionRecognizerService
from app.services.collections import CollectionService
from app.services.consent import ConsentGate
from app.services.face_search import FaceSearchService
from app.services.faces import FaceReader
from app.services.galleries import GalleryLookup
from app.services.idempotency import IdempotencyService
from app.services.keys import KeyService
from app.services.known_subjects import KnownSubjectService
from app.services.metering import UsageService
from app.services.object_stores import ObjectStoreService
from app.services.photo_registration import PhotoRegistrationService
from app.services.policies import PolicyService
from app.services.portability import PortabilityService
from app.services.quotas import QuotaService
from app.services.receipts import ReceiptOffice
from app.services.recognition import RecognitionService
from app.services.registration import RegistrationService
from app.services.search import SearchService
from app.services.subjects import SubjectService
from app.services.users import UserService


class Wiring:
    """What one caller's services are made of, and those that have no transaction of their own."""

    def __init__(self, state: AppState, principal: Principal) -> None:
        self.state = state
        self.principal = principal
        self.galleries = GalleryLookup(state["database"], principal, state["recognizers"])
        """What the caller may search."""

    def in_transaction(self, session: AsyncSession) -> "TransactionServices":
        """The services that read and write in one transaction."""
        return TransactionServices(self, session)

    def faces(self, departure: "asyncio.Future[None]") -> FaceReader:
        """Reads faces in the tenant's own line, until the caller has departed."""
        return self.state["faces"].on_behalf_of(self.principal.tenant_id, departure)

    def recognition(self, faces: FaceReader) -> RecognitionService:
        """Recognises, verifies, compares."""
        search = self.state["search"].for_tenant(self.principal.tenant_id)
        return RecognitionService(faces, self.galleries, search, decisions=self.state["decisions"])

    def search(self) -> SearchService:
        """Searches without photos."""
        search = self.state["search"].for_tenant(self.principal.tenant_id)
        return SearchService(self.galleries, search, decisions=self.state["decisions"])

    def face_search(self, faces: FaceReader) -> FaceSearchService:
        """Searches for single faces and known subjects."""
        search = FaceSearch(self.state["search"], self.principal.tenant_id)
        return FaceSearchService(faces, self.galleries, search)


class TransactionServices:
    """The services of one caller in one transaction."""

    def __init__(self, wiring: Wiring, session: AsyncSession) -> None:
        self._state = wiring.state
        self._galleries = wiring.galleries
        self._principal = wiring.principal
        self._session = session
        self._tenant_id = wiring.principal.tenant_id

    def collections(self) -> CollectionService:
        """Collections."""
        return CollectionService(
            self._collection_rows(), self._answers(), self._quotas(), self._state["cursors"], self._trail()
        )

    def subjects(self) -> SubjectService:
        """Subjects and their faces."""
        return SubjectService(
            self._collection_rows(),
            self._subject_rows(),
            TemplateRepository(self._session, self._tenant_id),
            self._answers(),
            self._state["cursors"],
            self._trail(),
            ReceiptOffice(self._state["keyring"]),
            may_delete=self._principal.may(Permission.DELETE),
        )

    def registration(self, faces: FaceReader) -> RegistrationService:
        """Registers people."""
        return RegistrationService(
            faces,
            self._galleries,
            self._state["recognizers"],
            self._collection_rows(),
            self._subject_rows(),
            self._template_store(),
            self._consent_gate(),
            self._quotas(),
            self._trail(),
            may_delete=self._principal.may(Permission.DELETE),
        )

    def photo_registration(self, faces: FaceReader) -> PhotoRegistrationService:
        """Registers everybody in a photo."""
        return PhotoRegistrationService(
            faces,
            self._galleries,
            self._state["recognizers"],
            self._collection_rows(),
            self._subject_rows(),
            self._face_rows(),
            self._template_store(),
            self._consent_gate(),
            self._quotas(),
            self._trail(),
            self._state["keyring"],
        )

    def collection_faces(self) -> CollectionFaceService:
        """The stored faces of a collection."""
        return CollectionFaceService(
            self._collection_rows(),
            self._subject_rows(),
            self._face_rows(),
            self._answers(),
            self._state["cursors"],
            self._trail(),
        )

    def known_subjects(self) -> KnownSubjectService:
        """Who has which stored faces."""
        return KnownSubjectService(
            self._collection_rows(),
            self._subject_rows(),
            self._face_rows(),
            TemplateRepository(self._session, self._tenant_id),
            self._answers(),
            self._consent_gate(),
            self._state["cursors"],
            self._trail(),
            may_delete=self._principal.may(Permission.DELETE),
        )

    def collection_recognizers(self) -> CollectionRecognizerService:
        """Collections' recognisers."""
        return CollectionRecognizerService(
            self._collection_rows(),
            RecognizerRepository(self._session, self._tenant_id),
            self._subject_rows(),
            self._answers(),
            self._state["cursors"],
            self._trail(),
            self._state["recognizers"],
        )

    def calibration(self) -> CalibrationService:
        """Collections' own calibrations."""
        return CalibrationService(
            self._collection_rows(),
            self._face_rows(),
            self.collections(),
            self._trail(),
            self._state["recognizers"],
        )

    def object_stores(self) -> ObjectStoreService:
        """Where photos may be fetched from."""
        stores = ObjectStoreRepository(self._session, self._tenant_id)
        endpoints = self._state["settings"].object_store_endpoints
        return ObjectStoreService(stores, self._state["keyring"], self._trail(), endpoints=endpoints)

    def portability(self) -> PortabilityService:
        """Export and import."""
        return PortabilityService(
            self._collection_rows(),
            self._subject_rows(),
            self._template_store(),
            self._audit_rows(),
            self._consent_gate(),
            self._quotas(),
            self._trail(),
            self._state["recognizers"],
        )

    def policies(self) -> PolicyService:
        """The tenant's policy."""
        return PolicyService(self._policy_rows(), self._trail(), self._principal)

    def audit(self) -> AuditService:
        """The audit trail, to be read."""
        return AuditService(self._audit_rows(), self._state["keyring"], self._state["cursors"])

    def usage(self) -> UsageService:
        """What was counted."""
        return UsageService(UsageDayRepository(self._session, self._tenant_id))

    def users(self) -> UserService:
        """Logins."""
        users = UserRepository(self._session, self._tenant_id)
        return UserService(users, self._quotas(), self._principal, self._trail())

    def keys(self) -> KeyService:
        """API keys and access keys."""
        api_keys = ApiKeyRepository(self._session, self._tenant_id)
        access_keys = AccessKeyRepository(self._session, self._tenant_id)
        return KeyService(api_keys, access_keys, self._state["keyring"], self._trail())

    def idempotency(self, key: str | None) -> IdempotencyService:
        """One effect and one answer a key."""
        state = self._state
        return IdempotencyService(state["database"], self._answers(), self._principal, state["keyring"], key)

    def _collection_rows(self) -> CollectionRepository:
        return CollectionRepository(self._session, self._tenant_id, self._principal.collections)

    def _subject_rows(self) -> SubjectRepository:
        return SubjectRepository(self._session, self._tenant_id)

    def _face_rows(self) -> CollectionFaceRepository:
        return CollectionFaceRepository(self._session, self._tenant_id)

    def _template_store(self) -> TemplateStore:
        return TemplateStore(self._session, self._tenant_id, self._state["search"].protector)

    def _policy_rows(self) -> PolicyRepository:
        return PolicyRepository(self._session, self._tenant_id)

    def _audit_rows(self) -> AuditRepository:
        return AuditRepository(self._session, self._tenant_id)

    def _answers(self) -> AnswerRepository:
        return AnswerRepository(self._session, self._tenant_id)

    def _consent_gate(self) -> ConsentGate:
        return ConsentGate(self._subject_rows(), self._policy_rows())

    def _quotas(self) -> QuotaService:
        return QuotaService(UsageRepository(self._session, self._tenant_id), self._principal.plan)

    def _trail(self) -> AuditTrail:
        return AuditTrail(self._audit_rows(), self._state["keyring"], self._principal.name)
