"""Process a tenant's turn with its videos: one step of one video, then the next tenant's turn comes first."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from uuid import UUID, uuid4

from app.domain.collections import Recognizers
from app.domain.decisions import Calibration
from app.errors import (
    AppError,
    CollectionNotFound,
    ConsentRequired,
    InternalError,
    ObjectStoreUnavailable,
    ObjectUnavailable,
    PhotoLost,
    QuotaExceeded,
    RecognizerUnavailable,
    VideoNotFound,
    VideoRefused,
    VideoStuck,
    VideoTooLong,
)
from app.ml.video.client import DecodingProcess
from app.ml.video.protocol import Orders
from app.persistence.connections.database import Database
from app.persistence.repositories.hot_queries import HotQueries
from app.persistence.repositories.video_meter import VideoMeterRepository
from app.persistence.repositories.video_steps import (
    MAX_ATTEMPTS,
    StepKind,
    VideoStep,
    VideoStepRepository,
    find_tenants_with_lost_videos,
)
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.sightings.arrival import ArrivalMatcher
from app.services.sightings.matching import ProbeFace
from app.services.videos.fetching import VideoFetcher
from app.services.videos.files import VideoFiles
from app.services.videos.jobs import OpenVideoStorage, VideoJobRunner
from app.services.videos.joining import join_people
from app.services.videos.turn_requests import request_video_turn
from app.services.videos.watching import VideoWatcher
from app.telemetry import get_logger
from app.telemetry.spans import SpanKind, continued_span

_log = get_logger(__name__)

_LEASE_S = 45.0
_RENEW_S = 10.0
_LOST_AFTER_S = 20.0
_MAX_FETCHES = 3
"""How often an object store that does not respond is asked."""
_REFUSED = (VideoRefused, PhotoLost, ObjectUnavailable, QuotaExceeded, ConsentRequired, RecognizerUnavailable)


class VideoTurns:
    """Processes turns; one per process. `open_storage` opens a transaction of one tenant."""

    def __init__(
        self,
        database: Database,
        fetcher: VideoFetcher,
        files: VideoFiles,
        watcher: VideoWatcher,
        directory: RecognizerDirectory,
        open_storage: OpenVideoStorage,
        arrivals: ArrivalMatcher,
        jobs: VideoJobRunner,
        calibrations: Mapping[str, Calibration],
    ) -> None:
        self._database = database
        self._fetcher = fetcher
        self._files = files
        self._watcher = watcher
        self._directory = directory
        self._open_storage = open_storage
        self._arrivals = arrivals
        self._jobs = jobs
        self._calibrations = calibrations
        # One step uses all threads. A worker that is killed therefore loses one step, not several that were begun.
        self._place = asyncio.Semaphore(1)

    async def run(self, tenant_id: UUID) -> None:
        """Process one turn; never raises, because the steps' rows tell what is left.

        One turn at a time: the others take a step when it is their turn, so that other workers may do so before.
        """
        async with self._place:
            await self._run(tenant_id)

    async def _run(self, tenant_id: UUID) -> None:
        step: VideoStep | None = None
        try:
            step = await self._take(tenant_id)
            if step is not None:
                with continued_span(f"video {step.kind.value}", SpanKind.CONSUMER, step.traceparent):
                    async with self._renewing(tenant_id, step):
                        await self._do(tenant_id, step)
        except Exception as exc:  # noqa: BLE001 - an error of ours must not lose the video
            _log.warning("video_turn_interrupted", error=type(exc).__name__)
            if step is not None:
                await self._interrupt(tenant_id, step, exc)

    async def _interrupt(self, tenant_id: UUID, step: VideoStep, error: Exception) -> None:
        """Let others do a step that failed for a reason of the service; an error of ours fails the video in the end."""
        is_ours = not isinstance(error, AppError)
        with suppress(AppError):
            if is_ours and step.attempts >= MAX_ATTEMPTS:
                await self._fail(tenant_id, step, InternalError())
            else:
                await self._give_back(tenant_id, step, counts=is_ours)

    async def recover(self) -> int:
        """Give turns to tenants whose videos would wait for ever; return how many. Any process may do so."""
        self._files.close_unused()
        tenants = await find_tenants_with_lost_videos(self._database, _LOST_AFTER_S)
        for tenant_id in tenants:
            async with self._database.transaction(tenant_id) as session:
                steps = VideoStepRepository(session, tenant_id)
                await steps.forget_abandoned()
                poisoned = await steps.give_back_lost()
                await steps.end_poisoned(poisoned)
                for video_id in poisoned:
                    await VideoMeterRepository(session, tenant_id).take_back(video_id)
                await request_video_turn(session, tenant_id)
        return len(tenants)

    async def _take(self, tenant_id: UUID) -> VideoStep | None:
        async with self._database.transaction(tenant_id) as session:
            steps = VideoStepRepository(session, tenant_id)
            step = await steps.take(uuid4(), _LEASE_S)
            if step is not None and await steps.has_waiting():
                await request_video_turn(session, tenant_id)
            return step

    async def _do(self, tenant_id: UUID, step: VideoStep) -> None:
        try:
            if step.kind is StepKind.FETCH:
                await self._fetcher.fetch(tenant_id, step)
            elif step.kind is StepKind.LOOK:
                await self._look(tenant_id, step)
            elif step.kind is StepKind.WATCH:
                await self._watch(tenant_id, step)
            else:
                await self._join(tenant_id, step)
        except (CollectionNotFound, VideoNotFound) as exc:
            if step.job is not None and isinstance(exc, CollectionNotFound):
                await self._fail(tenant_id, step, exc)
            return  # else erased meanwhile, or taken by another worker
        except (VideoStuck, ObjectStoreUnavailable) as exc:
            if step.attempts < (MAX_ATTEMPTS if isinstance(exc, VideoStuck) else _MAX_FETCHES):
                await self._give_back(tenant_id, step, counts=True)
                return
            await self._fail(tenant_id, step, exc)
        except _REFUSED as exc:
            await self._fail(tenant_id, step, exc)

    async def _look(self, tenant_id: UUID, step: VideoStep) -> None:
        async with AsyncExitStack() as stack:
            file = await stack.enter_async_context(self._files.open(tenant_id, step))
            process = await stack.enter_async_context(DecodingProcess(file, Orders(file, probe=True)))
            facts = await process.facts()
        if facts.duration_ms > step.sampling.max_minutes * 60_000:
            minutes = facts.duration_ms / 60_000
            raise VideoTooLong(
                f"The video is {minutes:.1f} minutes long; {step.sampling.max_minutes:g} are allowed (max_minutes)."
            )
        async with self._open_storage(tenant_id) as storage:
            if await storage.plan(step, facts):
                await request_video_turn(storage.session, tenant_id)

    async def _watch(self, tenant_id: UUID, step: VideoStep) -> None:
        recognizers = await self._recognizers(tenant_id, step)
        async with self._files.open(tenant_id, step) as file:
            tracklets = await self._watcher.watch(file, step, recognizers)
        async with self._open_storage(tenant_id) as storage:
            if await storage.store_part(step, tracklets, recognizers.in_use):
                await request_video_turn(storage.session, tenant_id)

    async def _join(self, tenant_id: UUID, step: VideoStep) -> None:
        recognizer = (await self._recognizers(tenant_id, step)).in_use
        if step.job is not None or step.collection_id is None:
            await self._jobs.finish(tenant_id, step, recognizer)
            return
        async with self._open_storage(tenant_id) as storage:
            strands = await storage.read_strands(step.video_id)
        calibration = self._calibrations[recognizer]
        people = await asyncio.to_thread(join_people, step, strands, recognizer, calibration)
        probes = [
            ProbeFace(one.faces[0].id, one.appearance.id, one.faces[0].embeddings, one.is_reliable) for one in people
        ]
        matched = await self._arrivals.match(tenant_id, step.collection_id, probes)
        async with self._open_storage(tenant_id) as storage:
            await storage.store_people(step, people, matched)

    async def _recognizers(self, tenant_id: UUID, step: VideoStep) -> Recognizers:
        if step.job is not None and step.job.collection is None:
            return Recognizers(self._directory.default)
        found = await HotQueries(self._database, tenant_id).find_collection(step.album)
        if found is None or (step.job is not None and step.job.collection_id != found.id):
            raise CollectionNotFound(f"Collection {step.album!r} does not exist anymore.")
        return self._directory.of(step.album, found.recognizer, found.secondary)

    async def _fail(self, tenant_id: UUID, step: VideoStep, error: AppError) -> None:
        async with self._open_storage(tenant_id) as storage:
            await storage.fail(step, error.code, error.detail)

    async def _give_back(self, tenant_id: UUID, step: VideoStep, *, counts: bool) -> None:
        """Let others do the step when the tenant's videos are recovered; `counts`: the step may be at fault."""
        async with self._database.transaction(tenant_id) as session:
            await VideoStepRepository(session, tenant_id).give_back(step, counts=counts)

    @asynccontextmanager
    async def _renewing(self, tenant_id: UUID, step: VideoStep) -> AsyncIterator[None]:
        task = asyncio.create_task(self._renew(tenant_id, step))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _renew(self, tenant_id: UUID, step: VideoStep) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            with suppress(AppError):
                async with self._database.transaction(tenant_id) as session:
                    await VideoStepRepository(session, tenant_id).renew(step, _LEASE_S)
