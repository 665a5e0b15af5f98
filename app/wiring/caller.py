"""Construct the services of one caller, for the REST routes and the Rekognition protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import VideosNotSupported
from app.matcher.tenant_search import TenantSearch
from app.permissions import Permission, Principal
from app.persistence.repositories.account_links import AccountLinkRepository
from app.persistence.repositories.album_people import AlbumPeopleRepository
from app.persistence.repositories.keys import AccessKeyRepository, ApiKeyRepository
from app.persistence.repositories.object_stores import ObjectStoreRepository
from app.persistence.repositories.recognizers import RecognizerRepository
from app.persistence.repositories.registrations import RegistrationRepository
from app.persistence.repositories.relocations import RelocationRepository
from app.persistence.repositories.repeated_faces import RepeatedFaceRepository
from app.persistence.repositories.sightings import SightingRepository
from app.persistence.repositories.templates import TemplateRepository
from app.persistence.repositories.usage_days import UsageDayRepository
from app.persistence.repositories.users import UserRepository
from app.persistence.repositories.webhook_deliveries import WebhookDeliveryRepository
from app.persistence.repositories.webhooks import WebhookRepository
from app.services.access.account_links import AccountLinkService
from app.services.access.keys import KeyService
from app.services.access.users import UserService
from app.services.albums.face_pictures import FacePictures
from app.services.albums.intake import IntakeLimits, PhotoIntake
from app.services.albums.known_people import KnownPeople
from app.services.albums.photos import AlbumPhotoService
from app.services.albums.search import AlbumSearch
from app.services.albums.sources import PhotoSources
from app.services.albums.uploads import PhotoUploads
from app.services.audit.trail import AuditService
from app.services.collections.calibration import CalibrationService, Calibrator
from app.services.collections.gallery_lookup import GalleryLookup, RecentCollection
from app.services.collections.recognizers import CollectionRecognizerService
from app.services.events.events import EventService
from app.services.idempotency import IdempotencyService
from app.services.people.anonymous_registration import AnonymousRegistrationService
from app.services.people.assignment import AssignmentService
from app.services.people.consent import ConsentGate
from app.services.people.merging import MergeService
from app.services.people.moving import MoveService
from app.services.people.portability import PortabilityService
from app.services.people.portable_decisions import PortableDecisions
from app.services.people.registration import RegistrationService
from app.services.people.repeated_photos import RepeatedPhotos
from app.services.people.subject_listing import SubjectListing
from app.services.people.subjects import SubjectService
from app.services.photos.face_reader import FaceReader
from app.services.photos.object_stores import ObjectStoreService
from app.services.recognition.face_search import FaceSearchService
from app.services.recognition.nearest import NearestService
from app.services.recognition.recognition import RecognitionService
from app.services.recognition.search import SearchService
from app.services.tenancy.metering import UsageService
from app.services.tenancy.policies import PolicyService
from app.services.tenancy.protocol_options import ProtocolOptionsService
from app.services.videos.admission import VideoLimits
from app.services.videos.arrivals import AnnouncedVideos
from app.services.videos.elsewhere import VideoSources, VideoUploads
from app.services.videos.intake import VideoIntake
from app.services.videos.jobs import VideoJobService
from app.services.videos.parts import VideoParts
from app.services.videos.search import VideoSearch
from app.services.webhooks.secrets import WebhookCipher
from app.services.webhooks.webhooks import WebhookReplayer, WebhookService, WebhookTester
from app.wiring.album_services import AlbumServices
from app.wiring.process import AppState
from app.wiring.videos import has_video_support


class CallerServices:
    """Construct one caller's services that need no transaction, and open transactions for those that do.

    `disconnect` completes when the caller closes the connection; inference that is still queued is then dropped.
    """

    def __init__(
        self,
        state: AppState,
        principal: Principal,
        disconnect: "asyncio.Future[None]",
        recent: RecentCollection | None = None,
    ) -> None:
        self.state = state
        self.principal = principal
        self.galleries = GalleryLookup(
            state.database, principal, state.recognizers, recent=recent, note=self._note_collection
        )
        self._disconnect = disconnect

    def _note_collection(self, name: str) -> None:
        self.state.known_tenants.find(self.principal.tenant_id).collection = name

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["TransactionServices"]:
        """Open services that share one transaction, which commits when the block ends."""
        async with self.state.database.transaction(self.principal.tenant_id) as session:
            yield TransactionServices(self, session)

    def faces(self) -> FaceReader:
        """Return a reader that waits in the tenant's own inference queue."""
        return self.state.faces.for_tenant(self.principal.tenant_id, self._disconnect)

    def recognition(self) -> RecognitionService:
        return RecognitionService(self.faces(), self.galleries, self._search(), decisions=self.state.decisions)

    def search(self) -> SearchService:
        return SearchService(self.galleries, self._search(), decisions=self.state.decisions)

    def calibrator(self) -> Calibrator:
        return Calibrator(self._calibration)

    @asynccontextmanager
    async def _calibration(self) -> AsyncIterator[CalibrationService]:
        async with self.transaction() as services:
            yield services.calibration()

    def face_search(self) -> FaceSearchService:
        return FaceSearchService(self.faces(), self.galleries, self._search())

    def nearest(self) -> NearestService:
        return NearestService(self.faces(), self.galleries, self._search())

    def photo_intake(self) -> PhotoIntake:
        state = self.state
        return PhotoIntake(state.database, state.spool, state.keyring, self.principal, self._intake_limits())

    def video_intake(self) -> VideoIntake:
        """Return what receives videos; raises `VideosNotSupported` where none can be processed."""
        state, limits = self.state, self.video_limits()
        max_bytes = state.settings.max_video_bytes
        parts = VideoParts(state.database, state.spool, state.keyring, max_bytes=max_bytes)
        return VideoIntake(state.database, state.spool, parts, self.principal, limits)

    def video_uploads(self) -> VideoUploads:
        """Return what receives videos through the bucket; raises as `video_intake`."""
        state, limits = self.state, self.video_limits()
        kind = AnnouncedVideos(state.settings.max_video_bytes)
        return VideoUploads(state.database, state.spool, kind, self.principal, limits)

    def video_sources(self) -> VideoSources:
        """Return what receives videos from the tenant's object store; raises as `video_intake`."""
        return VideoSources(self.state.database, self.principal, self.video_limits())

    def video_limits(self) -> VideoLimits:
        """Return what bounds videos; raises as `video_intake`."""
        if not has_video_support():
            raise VideosNotSupported("This server processes no videos. Its operator can install vultus[video].")
        settings = self.state.settings
        return VideoLimits(settings.max_video_bytes, settings.max_waiting_videos)

    def video_search(self) -> VideoSearch:
        state = self.state
        search = (self.galleries, self._search(), state.decisions)
        return VideoSearch(state.database, self.principal, self.faces(), *search)

    def photo_uploads(self) -> PhotoUploads:
        return PhotoUploads(self.state.database, self.state.spool, self.principal, self._intake_limits())

    def photo_sources(self) -> PhotoSources:
        return PhotoSources(self.state.database, self.principal, self._intake_limits())

    def _intake_limits(self) -> IntakeLimits:
        return IntakeLimits(self.state.settings.max_image_bytes, self.state.settings.max_waiting_photos)

    def face_pictures(self) -> FacePictures:
        return FacePictures(self._album_photos, self.principal.tenant_id, self.faces(), self.state.objects)

    @asynccontextmanager
    async def _album_photos(self) -> AsyncIterator[AlbumPhotoService]:
        async with self.transaction() as services:
            yield services.album_photos()

    def album_search(self) -> AlbumSearch:
        state = self.state
        search = (self.galleries, self._search(), state.decisions, state.cursors, self._known_people)
        return AlbumSearch(state.database, self.principal, self.faces(), *search)

    @asynccontextmanager
    async def _known_people(self) -> AsyncIterator[KnownPeople]:
        async with self.transaction() as services:
            yield services.known_people()

    def events(self) -> EventService:
        return EventService(self.state.database, self.principal)

    def webhook_replayer(self) -> WebhookReplayer:
        return WebhookReplayer(self._webhooks)

    def webhook_tester(self) -> WebhookTester:
        return WebhookTester(self._webhooks, self.state.webhook_sender, WebhookCipher(self.state.keyring))

    @asynccontextmanager
    async def _webhooks(self) -> AsyncIterator[WebhookService]:
        async with self.transaction() as services:
            yield services.webhooks()

    def subject_listing(self) -> SubjectListing:
        return SubjectListing(self.state.database, self.principal, self.galleries, self.state.cursors)

    def _search(self) -> TenantSearch:
        return TenantSearch(self.state.search, self.principal.tenant_id)


class TransactionServices(AlbumServices):
    """Construct one caller's services that share one transaction."""

    def __init__(self, caller: CallerServices, session: AsyncSession) -> None:
        super().__init__(caller.state, caller.principal, session)
        self._caller = caller

    def recognizers(self) -> CollectionRecognizerService:
        return CollectionRecognizerService(
            self._collection_rows(),
            RecognizerRepository(self._session, self._tenant_id),
            AlbumPeopleRepository(self._session, self._tenant_id),
            self._subject_rows(),
            self._idempotency_records(),
            self._state.cursors,
            self._trail(),
            self._state.recognizers,
        )

    def calibration(self) -> CalibrationService:
        return CalibrationService(
            self._collection_rows(), self._face_rows(), self.collections(), self._trail(), self._state.recognizers
        )

    def subjects(self) -> SubjectService:
        return SubjectService(
            self._collection_lookup(),
            self._subject_rows(),
            TemplateRepository(self._session, self._tenant_id),
            self._idempotency_records(),
            self._state.cursors,
            self._trail(),
            self._state.receipts,
            may_delete=self._principal.may(Permission.DELETE),
        )

    def registration(self) -> RegistrationService:
        return RegistrationService(
            self._caller.faces(),
            self._caller.galleries,
            self._collection_lookup(),
            RegistrationRepository(self._session, self._tenant_id),
            RepeatedPhotos(RepeatedFaceRepository(self._session, self._tenant_id), self._state.keyring),
            self._face_storage(),
            may_delete=self._principal.may(Permission.DELETE),
        )

    def anonymous_registration(self) -> AnonymousRegistrationService:
        return AnonymousRegistrationService(
            self._caller.faces(),
            self._caller.galleries,
            self._collection_lookup(),
            self._subject_rows(),
            self._face_rows(),
            self._face_storage(),
            self._state.keyring,
        )

    def assignment(self) -> AssignmentService:
        return AssignmentService(
            self._collection_lookup(),
            self._subject_rows(),
            self._face_rows(),
            TemplateRepository(self._session, self._tenant_id),
            self._face_storage(),
            self._idempotency_records(),
            self._state.cursors,
            may_delete=self._principal.may(Permission.DELETE),
        )

    def merging(self) -> MergeService:
        return MergeService(
            self._collection_lookup(),
            self._subject_rows(),
            self._face_rows(),
            ConsentGate(self._subject_rows(), self._policy_rows()),
            self._idempotency_records(),
            self._trail(),
            may_delete=self._principal.may(Permission.DELETE),
        )

    def moving(self) -> MoveService:
        return MoveService(
            self._collection_lookup(),
            self._subject_rows(),
            TemplateRepository(self._session, self._tenant_id),
            RelocationRepository(self._session, self._tenant_id, self._state.search.protector),
            self._idempotency_records(),
            self._trail(),
            may_delete=self._principal.may(Permission.DELETE),
        )

    def portability(self) -> PortabilityService:
        return PortabilityService(
            self._collection_lookup(),
            self._subject_rows(),
            self._face_storage(),
            self._audit_rows(),
            self._face_crops(),
            PortableDecisions(self._album_rows(), SightingRepository(self._session, self._tenant_id), self._trail()),
        )

    def object_stores(self) -> ObjectStoreService:
        stores = ObjectStoreRepository(self._session, self._tenant_id)
        endpoints = self._state.settings.object_store_endpoints
        return ObjectStoreService(stores, self._state.keyring, self._trail(), endpoints=endpoints)

    def webhooks(self) -> WebhookService:
        return WebhookService(
            WebhookRepository(self._session, self._tenant_id),
            WebhookDeliveryRepository(self._session, self._tenant_id),
            self._state.webhook_sender.hosts,
            WebhookCipher(self._state.keyring),
            self._state.cursors,
            self._trail(),
        )

    def video_jobs(self) -> VideoJobService:
        """Return the jobs of the Rekognition protocol; raises as `video_intake`."""
        limits = self._caller.video_limits()
        return VideoJobService(self._session, self._principal, limits, self._collection_lookup(), self._state.cursors)

    def policies(self) -> PolicyService:
        return PolicyService(self._policy_rows(), self._trail(), self._principal)

    def protocol_options(self) -> ProtocolOptionsService:
        return ProtocolOptionsService(self._policy_rows(), self._trail())

    def audit(self) -> AuditService:
        return AuditService(self._audit_rows(), self._state.keyring, self._state.cursors)

    def usage(self) -> UsageService:
        days = UsageDayRepository(self._session, self._tenant_id)
        return UsageService(days, self._state.cursors, self._state.meter)

    def users(self) -> UserService:
        users = UserRepository(self._session, self._tenant_id)
        return UserService(users, self._quotas(), self._principal, self._trail(), self._state.cursors)

    def account_links(self) -> AccountLinkService:
        links = AccountLinkRepository(self._session, self._tenant_id)
        users = UserRepository(self._session, self._tenant_id)
        state = self._state
        return AccountLinkService(links, users, self._principal, state.keyring, state.cursors, self._trail())

    def keys(self) -> KeyService:
        api_keys = ApiKeyRepository(self._session, self._tenant_id)
        access_keys = AccessKeyRepository(self._session, self._tenant_id)
        return KeyService(api_keys, access_keys, self._state.keyring, self._trail())

    def idempotency(self, key: str | None) -> IdempotencyService:
        state = self._state
        return IdempotencyService(state.database, self._idempotency_records(), self._principal, state.keyring, key)
