"""Construct one caller's services of collections and albums that share one transaction."""

from app.permissions import Permission
from app.persistence.repositories.album_links import AlbumLinkRepository
from app.persistence.repositories.album_people import AlbumPeopleRepository
from app.persistence.repositories.appearances import AppearanceRepository
from app.persistence.repositories.clusters import ClusterRepository
from app.persistence.repositories.operations import OperationRepository
from app.persistence.repositories.photos import PhotoRepository
from app.persistence.repositories.sightings import SightingRepository
from app.persistence.repositories.templates import TemplateRepository, TemplateStore
from app.persistence.repositories.videos import VideoRepository
from app.services.albums.albums import AlbumService
from app.services.albums.known_people import KnownPeople
from app.services.albums.links import AlbumLinkService
from app.services.albums.photos import AlbumPhotoService
from app.services.collections.collections import CollectionService
from app.services.people.stored_faces import StoredFaceService
from app.services.sightings.clusters import ClusterService
from app.services.sightings.enrolling import SightingEnrolment
from app.services.sightings.named_people import PersonDirectory
from app.services.sightings.pools import PoolService
from app.services.sightings.sightings import SightingService
from app.services.videos.videos import VideoService
from app.wiring.transaction_rows import TransactionRows


class AlbumServices(TransactionRows):
    """The services of collections, stored faces, albums, sightings and pools."""

    def collections(self) -> CollectionService:
        return CollectionService(
            self._collection_rows(), self._idempotency_records(), self._quotas(), self._state.cursors, self._trail()
        )

    def stored_faces(self) -> StoredFaceService:
        return StoredFaceService(
            self._collection_lookup(),
            self._subject_rows(),
            self._face_rows(),
            self._idempotency_records(),
            self._state.cursors,
            self._trail(),
            self._state.receipts,
        )

    def albums(self) -> AlbumService:
        return AlbumService(
            self._album_rows(),
            self.collections(),
            self._policy_rows(),
            self._state.cursors,
            self._trail(),
            AlbumPeopleRepository(self._session, self._tenant_id),
            self._collection_lookup(),
            may_delete=self._principal.may(Permission.DELETE),
        )

    def album_photos(self) -> AlbumPhotoService:
        return AlbumPhotoService(
            self._album_rows(),
            PhotoRepository(self._session, self._tenant_id),
            self.stored_faces(),
            self._face_crops(),
            self._state.cursors,
            self._trail(),
        )

    def sightings(self) -> SightingService:
        return SightingService(
            self._album_rows(),
            SightingRepository(self._session, self._tenant_id),
            OperationRepository(self._session, self._tenant_id),
            ClusterRepository(self._session, self._tenant_id),
            PersonDirectory(self._collection_lookup(), self._subject_rows()),
            SightingEnrolment(
                self._collection_lookup(),
                self._subject_rows(),
                TemplateRepository(self._session, self._tenant_id),
                self._face_storage(),
            ),
            self._state.cursors,
            self._trail(),
        )

    def clusters(self) -> ClusterService:
        return ClusterService(
            self._album_rows(),
            ClusterRepository(self._session, self._tenant_id),
            SightingRepository(self._session, self._tenant_id),
            OperationRepository(self._session, self._tenant_id),
            PersonDirectory(self._collection_lookup(), self._subject_rows()),
            self._state.cursors,
            self._trail(),
        )

    def videos(self) -> VideoService:
        return VideoService(
            self._album_rows(),
            VideoRepository(self._session, self._tenant_id),
            AppearanceRepository(self._session, self._tenant_id),
            SightingRepository(self._session, self._tenant_id),
            self.stored_faces(),
            PersonDirectory(self._collection_lookup(), self._subject_rows()),
            self._state.cursors,
            self._trail(),
        )

    def pools(self) -> PoolService:
        looked_for = AlbumPeopleRepository(self._session, self._tenant_id)
        return PoolService(self._collection_lookup(), self._pool_rows(), looked_for, self._trail())

    def album_links(self) -> AlbumLinkService:
        links = AlbumLinkRepository(self._session, self._tenant_id)
        return AlbumLinkService(self._album_rows(), links, self._state.keyring, self._state.cursors, self._trail())

    def known_people(self) -> KnownPeople:
        templates = TemplateStore(self._session, self._tenant_id, self._state.search.protector)
        return KnownPeople(self._collection_lookup(), self._subject_rows(), self._face_rows(), templates)
