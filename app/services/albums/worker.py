"""Work on albums: take turns from the job queue, and keep order around it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from app.errors import AppError
from app.persistence.connections.database import Database
from app.persistence.job_queue import JobHandler, JobKind, JobWorker, prune_log
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.photo_turns import forget_failed, measure_queue
from app.persistence.repositories.video_jobs import forget_video_jobs
from app.persistence.schedule import Work, claim
from app.services.albums.expiry import AlbumExpiry
from app.services.albums.turns import PhotoTurns
from app.services.background import log_and_continue
from app.services.maintenance.template_rotation import TemplateRotation
from app.services.photos.uploaded_objects import UploadedObjects
from app.services.sightings.clustering import ClusterKeeper
from app.services.sightings.rematch import Rematch
from app.services.videos.turns import VideoTurns
from app.telemetry import get_logger, metrics

_log = get_logger(__name__)

_UPKEEP_S = 5.0
_COMPARE_S = 1.0
_PRUNE_EVERY = timedelta(hours=1)


class AlbumUpkeep:
    """Empties the spool of what is finished or erased, gives lost photos another turn, and erases expired albums.

    Receives photos and videos that were uploaded to the bucket, too, if their callers do not say so.

    Several processes may do so at the same time.
    """

    def __init__(
        self,
        database: Database,
        spool: PhotoSpool,
        turns: PhotoTurns,
        videos: VideoTurns,
        expiry: AlbumExpiry,
        uploaded: Sequence[UploadedObjects],
    ) -> None:
        self._videos = videos
        self._database = database
        self._spool = spool
        self._turns = turns
        self._expiry = expiry
        self._uploaded = uploaded

    async def empty_spool(self) -> None:
        """Delete what was erased or finished; a failure is logged, and the next time tries again."""
        with log_and_continue("spool_not_emptied"):
            await self._spool.empty(self._database)

    async def run(self) -> None:
        """Do everything once; what fails is logged and tried again the next time."""
        with log_and_continue("photos_not_recovered"):
            recovered = await self._turns.recover()
            if recovered:
                _log.info("photos_recovered", tenants=recovered)
        with log_and_continue("videos_not_recovered"):
            await self._videos.recover()
        for kind in self._uploaded:
            with log_and_continue("uploads_not_received"):
                await kind.look_once()
        await self.empty_spool()
        with log_and_continue("albums_not_expired"):
            await self._expiry.run(datetime.now(UTC))
        with log_and_continue("job_log_not_pruned"):
            if await claim(self._database, Work.JOB_LOG, _PRUNE_EVERY):
                await prune_log(self._database)
                await forget_failed(self._database)
                await forget_video_jobs(self._database)


class AlbumWorker:
    """Processes the photos of all tenants' albums in this process."""

    def __init__(
        self,
        database: Database,
        jobs: JobWorker,
        rotation: TemplateRotation,
        turns: PhotoTurns,
        videos: VideoTurns | None,
        upkeep: AlbumUpkeep,
        rematch: Rematch,
        clusters: ClusterKeeper,
    ) -> None:
        self._rematch = rematch
        self._clusters = clusters
        self._database = database
        self._jobs = jobs
        self._handlers: dict[JobKind, JobHandler] = {
            JobKind.PHOTO_TURN: turns.run,
            JobKind.TEMPLATE_ROTATION: rotation.run,
        }
        if videos is not None:
            self._handlers[JobKind.VIDEO_TURN] = videos.run
        self._upkeep = upkeep
        self._is_ending = asyncio.Event()

    async def expose_queue(self) -> bytes:
        """Return the length of the queue in Prometheus's text format; empty if the database does not respond."""
        try:
            length = await measure_queue(self._database)
        except AppError as exc:
            _log.warning("queue_not_measured", code=exc.code)
            return b""
        return metrics.expose_queue(length.received, length.working, length.oldest_s, length.jobs)

    async def empty_spool(self) -> None:
        """Delete what was erased from the spool now; see `AlbumUpkeep.empty_spool`."""
        await self._upkeep.empty_spool()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work during the block; at its end, finish the turns that run and take no others."""
        self._is_ending.clear()
        self._jobs.start()
        tasks = [asyncio.create_task(self._jobs.run(self._handlers)), asyncio.create_task(self._keep_order())]
        tasks.append(asyncio.create_task(self._compare_people()))
        try:
            yield
        finally:
            self._is_ending.set()
            self._jobs.stop()
            await asyncio.gather(*tasks)
            await self._upkeep.run()

    async def _keep_order(self) -> None:
        while not self._is_ending.is_set():
            await self._upkeep.run()
            await self._pause(_UPKEEP_S)

    async def _compare_people(self) -> None:
        while not self._is_ending.is_set():
            with log_and_continue("people_not_compared"):
                await self._rematch.run()
            with log_and_continue("faces_not_clustered"):
                await self._clusters.run()
            await self._pause(_COMPARE_S)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_ending.wait(), seconds)
