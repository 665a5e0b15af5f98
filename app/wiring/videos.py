"""Open what stores the videos of one tenant, and build what processes them; needs the extra `video`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID

from app.domain.decisions import Calibration
from app.matcher.engine import SearchEngine
from app.persistence.connections.database import Database
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.album_people import AlbumPeopleRepository
from app.persistence.repositories.appearances import AppearanceRepository
from app.persistence.repositories.clusters import ClusterRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.face_crops import FaceCropRepository
from app.persistence.repositories.sightings import SightingRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.video_jobs import VideoJobRepository
from app.persistence.repositories.video_meter import VideoMeterRepository
from app.persistence.repositories.video_steps import VideoStepRepository
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from app.security.photo_encryption import PhotoCipher
from app.services.audit.trail import AuditTrails
from app.services.collections.lookup import CollectionLookup
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.photos.face_reader import FaceReader
from app.services.photos.object_stores import ObjectFetcher
from app.services.sightings.arrival import ArrivalMatcher, SightingStorage
from app.services.videos.fetching import VideoFetcher
from app.services.videos.files import VideoFiles
from app.services.videos.jobs import VideoJobRunner
from app.services.videos.parts import VideoParts
from app.services.videos.storage import VideoStorage
from app.services.videos.turns import VideoTurns
from app.services.videos.watching import VideoWatcher
from app.wiring.worker_storage import open_worker_storage


def has_video_support() -> bool:
    """Whether the packages of the extra `video` are installed."""
    return find_spec("av") is not None and find_spec("scipy") is not None


class VideoStorageOpener:
    """Opens what stores the videos of one tenant, in one transaction."""

    def __init__(
        self,
        database: Database,
        directory: RecognizerDirectory,
        protector: TemplateProtector,
        trails: AuditTrails,
        keyring: Keyring,
    ) -> None:
        self._database = database
        self._directory = directory
        self._protector = protector
        self._trails = trails
        self._cipher = PhotoCipher(keyring)

    @asynccontextmanager
    async def open(self, tenant_id: UUID) -> AsyncIterator[VideoStorage]:
        """Open a transaction that commits when the block ends; raises `TenantNotFound`."""
        async with self._database.transaction(tenant_id) as session:
            storage = await open_worker_storage(session, tenant_id, self._protector, self._trails)
            yield VideoStorage(
                session,
                VideoStepRepository(session, tenant_id),
                AppearanceRepository(session, tenant_id),
                CollectionLookup(CollectionRepository(session, tenant_id), self._directory),
                SubjectRepository(session, tenant_id),
                storage,
                SightingStorage(AlbumPeopleRepository(session, tenant_id), SightingRepository(session, tenant_id)),
                ClusterRepository(session, tenant_id),
                FaceCropRepository(session, tenant_id, self._cipher),
                VideoMeterRepository(session, tenant_id),
                VideoJobRepository(session, tenant_id),
                self._cipher,
            )


def build_video_turns(
    database: Database,
    spool: PhotoSpool,
    objects: ObjectFetcher,
    parts: VideoParts,
    data_dir: Path,
    faces: FaceReader,
    opener: VideoStorageOpener,
    directory: RecognizerDirectory,
    arrivals: ArrivalMatcher,
    engine: SearchEngine,
    calibrations: Mapping[str, Calibration],
) -> VideoTurns:
    """Build what processes the videos of all tenants in this process."""
    files = VideoFiles(spool, data_dir / "videos")
    jobs = VideoJobRunner(opener.open, engine, calibrations)
    fetcher = VideoFetcher(database, spool, objects, parts)
    return VideoTurns(
        database, fetcher, files, VideoWatcher(faces), directory, opener.open, arrivals, jobs, calibrations
    )
