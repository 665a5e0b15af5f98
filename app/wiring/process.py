"""Build the process-wide objects from the settings, run background tasks, and close everything in order."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from app.domain.albums import PhotoCounts
from app.domain.decisions import Calibration
from app.domain.videos import VideoPosition
from app.errors import OperatorError
from app.matcher.engine import SearchEngine
from app.ml.analysis import FaceAnalyzer
from app.ml.executor import InferenceExecutor
from app.ml.installed_runtimes import warn_about_runtimes
from app.persistence.connections.database import Database, driver_address
from app.persistence.connections.watchdog import Watchdog
from app.persistence.erasure_journal import Journal
from app.persistence.job_queue import JobWorker
from app.persistence.photo_spool import PhotoSpool
from app.persistence.provisioning.addresses import DatabaseAddresses, provisioned_database
from app.persistence.repositories.albums import count_photos_of
from app.persistence.repositories.videos import follow_videos
from app.security.cursors import CursorSigner
from app.security.keyring import Keyring
from app.security.passwords import PasswordHasher
from app.security.photo_encryption import PhotoCipher
from app.services.access.account_links import AccountDoors
from app.services.access.authentication import AuthService
from app.services.access.known_tenants import KnownTenants
from app.services.access.link_mails import LinkMails
from app.services.access.second_factors import SecondFactorService
from app.services.access.signed_requests import SignedRequestService
from app.services.albums.arrivals import AnnouncedPhotos
from app.services.albums.expiry import AlbumExpiry
from app.services.albums.links import GuestBook
from app.services.albums.photo_faces import PhotoReader
from app.services.albums.turns import PhotoTurns
from app.services.albums.worker import AlbumUpkeep, AlbumWorker
from app.services.audit.trail import AuditTrails
from app.services.collections.decisions import DecisionMaker
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.erasure.receipts import ReceiptSigner
from app.services.erasure.replay import ErasureReplay
from app.services.erasure.retention import RetentionSweep
from app.services.events.quota_notices import QuotaNotices
from app.services.events.streams import EventStreams
from app.services.maintenance.background_erasure import BackgroundErasure
from app.services.maintenance.health import HealthService
from app.services.maintenance.operator_overview import OperatorOverview
from app.services.maintenance.template_rotation import TemplateRotation
from app.services.outbound.mail import Mailer
from app.services.photos.allowed_hosts import AllowedHosts
from app.services.photos.face_reader import FaceReader
from app.services.photos.image_urls import ImageUrlFetcher
from app.services.photos.object_stores import ObjectFetcher
from app.services.photos.uploaded_objects import UploadedObjects
from app.services.progress import ProgressWatch
from app.services.sightings.arrival import ArrivalMatcher
from app.services.sightings.clustering import ClusterKeeper
from app.services.sightings.matching import PeopleMatcher
from app.services.sightings.rematch import Rematch
from app.services.tenancy.metering import Meter
from app.services.tenancy.tenants import OperatorService, TenantService
from app.services.videos.arrivals import AnnouncedVideos
from app.services.videos.parts import VideoParts
from app.services.webhooks.sending import WebhookHosts, WebhookSender
from app.services.webhooks.worker import WebhookWorker
from app.settings import Settings
from app.telemetry import get_logger
from app.telemetry.tracing import exported_traces
from app.wiring.accounts import build_accounts, build_mailer
from app.wiring.albums import StorageOpener
from app.wiring.analyzer import build_analyzer, client_of, count_inference_threads
from app.wiring.object_stores import open_journal, open_spool
from app.wiring.search import build_search
from app.wiring.videos import VideoStorageOpener, build_video_turns, has_video_support
from app.wiring.webhooks import build_webhook_worker

_log = get_logger(__name__)

_WARM_UP_TIMEOUT_S = 30
SWITCH_INTERVAL_S = 0.0005
"""Inference returns to Python about thirty times per photo and each time waits until a busy event loop releases the
GIL. Python's default of 5 ms would add up to more than the inference itself."""


@dataclass(frozen=True, slots=True)
class AppState:
    """The process-wide objects that requests use; `wiring.caller` builds the services of one caller from them."""

    settings: Settings
    database: Database
    keyring: Keyring
    hasher: PasswordHasher
    meter: Meter
    auth: AuthService
    second_factors: SecondFactorService
    account_doors: AccountDoors
    link_mails: LinkMails
    tenants: TenantService
    operator: OperatorService | None
    """None unless the operator API is enabled."""
    operator_overview: OperatorOverview | None
    faces: FaceReader
    search: SearchEngine
    cursors: CursorSigner
    trails: AuditTrails
    signed_requests: SignedRequestService
    objects: ObjectFetcher
    image_urls: ImageUrlFetcher
    recognizers: RecognizerDirectory
    known_tenants: KnownTenants
    calibrations: Mapping[str, Calibration]
    """By recognizer."""
    health: HealthService
    decisions: DecisionMaker
    receipts: ReceiptSigner
    spool: PhotoSpool
    album_worker: AlbumWorker
    quota_notices: QuotaNotices
    event_streams: EventStreams
    webhook_sender: WebhookSender
    webhook_worker: WebhookWorker
    progress: ProgressWatch[PhotoCounts]
    video_progress: ProgressWatch[VideoPosition]
    guests: GuestBook


@dataclass(frozen=True, slots=True)
class _Resources:
    """What the process holds open: pools, threads and clients, closed in reverse order when the server ends."""

    database: Database
    operator_database: Database | None
    journal: Journal
    executor: InferenceExecutor
    hasher: PasswordHasher
    keyring: Keyring
    objects: ObjectFetcher
    image_urls: ImageUrlFetcher
    search: SearchEngine
    webhooks: WebhookSender
    progress: ProgressWatch[PhotoCounts]
    video_progress: ProgressWatch[VideoPosition]
    mailer: Mailer
    spool: PhotoSpool
    service_address: str


@asynccontextmanager
async def running_process(
    settings: Settings, analyzer: FaceAnalyzer | None = None, *, works_on_albums: bool = False, gives_way: bool = True
) -> AsyncIterator[AppState]:
    """Build everything, run the background tasks for the duration of the block, then close everything.

    `analyzer` is passed if a parent process loaded it before forking this one. Background jobs give way in a process
    that `gives_way`. Raises `DatabaseNotReady`, `ModelPackUnavailable`, or `OperatorError` if models respond too late.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    async with AsyncExitStack() as stack:
        stack.enter_context(exported_traces(settings))  # ended last
        addresses = await stack.enter_async_context(provisioned_database(settings))
        resources = await _open_resources(stack, settings, addresses, gives_way=gives_way)
        is_inherited = analyzer is not None
        analyzer = analyzer or build_analyzer(settings)
        inference = client_of(analyzer)
        if inference is not None:
            stack.callback(inference.close)
        await _warm_up(analyzer, resources.executor)
        _log_models(analyzer, is_inherited=is_inherited)
        trails = AuditTrails(resources.keyring)
        sweep = RetentionSweep(resources.database, trails) if settings.retention_sweep else None
        erasure = BackgroundErasure(ErasureReplay(resources.database, resources.journal, trails), sweep)
        meter = Meter(resources.database)
        await stack.enter_async_context(erasure.running())
        await stack.enter_async_context(meter.running())
        state = _build_state(settings, resources, analyzer, trails, erasure, meter)
        stack.push_async_callback(state.account_doors.close)
        if works_on_albums:
            await stack.enter_async_context(state.album_worker.running())
            await stack.enter_async_context(state.webhook_worker.running())
        yield state


async def _open_resources(
    stack: AsyncExitStack, settings: Settings, addresses: DatabaseAddresses, *, gives_way: bool
) -> _Resources:
    journal = open_journal(settings)
    watchdog = Watchdog(driver_address(addresses.service))
    database, operator_database = await _open_databases(stack, settings, addresses, journal, watchdog)
    executor = InferenceExecutor(
        threads=count_inference_threads(settings),
        queue=settings.inference_queue,
        deadline_s=settings.inference_deadline_s,
        has_spare=True,
        lowers_background=gives_way,
    )
    stack.callback(executor.close)
    hasher = PasswordHasher()
    stack.callback(hasher.close)
    keyring = Keyring(settings.signing_keys())
    objects = ObjectFetcher(
        database, keyring, endpoints=settings.object_store_endpoints, max_bytes=settings.max_image_bytes
    )
    stack.push_async_callback(objects.close)
    image_urls = ImageUrlFetcher(
        AllowedHosts(settings.image_url_hosts, settings.image_url_networks),
        max_bytes=settings.max_image_bytes,
        max_request_bytes=settings.max_request_bytes,
        timeout_s=settings.image_url_timeout_s,
    )
    stack.push_async_callback(image_urls.close)
    search = build_search(settings, addresses.service, keyring, watchdog=watchdog)
    stack.push_async_callback(search.close)
    webhooks = WebhookSender(WebhookHosts(settings.webhook_internal_hosts), trace_hosts=settings.trace_hosts)
    stack.push_async_callback(webhooks.close)
    progress, video_progress = ProgressWatch(database, count_photos_of), ProgressWatch(database, follow_videos)
    mailer = build_mailer(settings)
    stack.push_async_callback(mailer.close)
    stack.push_async_callback(progress.close)
    stack.push_async_callback(video_progress.close)
    # Entered last: it stops first, and no connection is ended while the others close theirs.
    await stack.enter_async_context(watchdog.running())
    return _Resources(
        database,
        operator_database,
        journal,
        executor,
        hasher,
        keyring,
        objects,
        image_urls,
        search,
        webhooks,
        progress,
        video_progress,
        mailer,
        open_spool(settings, keyring),
        addresses.service,
    )


def _build_state(
    settings: Settings,
    resources: _Resources,
    analyzer: FaceAnalyzer,
    trails: AuditTrails,
    erasure: BackgroundErasure,
    meter: Meter,
) -> AppState:
    database, keyring, hasher = resources.database, resources.keyring, resources.hasher
    operator_database, cursors = resources.operator_database, CursorSigner(keyring)
    infos = analyzer.engine.infos
    calibrations = {name: info.calibration for name, info in infos.items()}
    decisions = DecisionMaker(calibrations, settings.match_threshold)
    faces = FaceReader(resources.executor, analyzer)
    recognizers = RecognizerDirectory({name: info.pack for name, info in infos.items()})
    accounts = build_accounts(settings, database, hasher, keyring, trails, resources.mailer)
    return AppState(
        settings=settings,
        database=database,
        keyring=keyring,
        hasher=hasher,
        meter=meter,
        auth=accounts.auth,
        second_factors=accounts.second_factors,
        account_doors=accounts.account_doors,
        link_mails=accounts.link_mails,
        tenants=TenantService(database, hasher, trails),
        operator=OperatorService(operator_database, trails, cursors) if operator_database is not None else None,
        operator_overview=OperatorOverview(operator_database, list(infos.values())) if operator_database else None,
        faces=faces,
        search=resources.search,
        cursors=cursors,
        trails=trails,
        signed_requests=SignedRequestService(database, keyring, region=settings.rekognition_region),
        objects=resources.objects,
        image_urls=resources.image_urls,
        recognizers=recognizers,
        known_tenants=KnownTenants(),
        calibrations=calibrations,
        health=HealthService(
            database, erasure, client_of(analyzer), must_be_confined=settings.environment == "production"
        ),
        decisions=decisions,
        receipts=ReceiptSigner(keyring, settings.previous_receipt_keys),
        spool=resources.spool,
        progress=resources.progress,
        video_progress=resources.video_progress,
        guests=GuestBook(database, keyring, trails),
        album_worker=_build_album_worker(settings, resources, faces, recognizers, trails, decisions),
        quota_notices=QuotaNotices(database),
        event_streams=EventStreams(),
        webhook_sender=resources.webhooks,
        webhook_worker=build_webhook_worker(
            settings, database, resources.service_address, resources.webhooks, keyring, trails
        ),
    )


def _build_album_worker(
    settings: Settings,
    resources: _Resources,
    faces: FaceReader,
    recognizers: RecognizerDirectory,
    trails: AuditTrails,
    decisions: DecisionMaker,
) -> AlbumWorker:
    database = resources.database
    matcher = PeopleMatcher(resources.search, decisions)
    opener = StorageOpener(database, recognizers, resources.search.protector, trails, PhotoCipher(resources.keyring))
    jobs = JobWorker(
        driver_address(resources.service_address),
        concurrency=settings.worker_turns,
        behind_pgbouncer=settings.database_pgbouncer,
    )
    arrivals = ArrivalMatcher(database, matcher)
    reader = PhotoReader(resources.spool, faces, resources.objects)
    turns = PhotoTurns(database, reader, recognizers, opener.open, arrivals)
    uploaded = [
        UploadedObjects(database, resources.spool, kind)
        for kind in (AnnouncedPhotos(settings.max_image_bytes), AnnouncedVideos(settings.max_video_bytes))
    ]
    videos = build_video_turns(
        database,
        resources.spool,
        resources.objects,
        VideoParts(database, resources.spool, resources.keyring, max_bytes=settings.max_video_bytes),
        settings.resolved_data_dir,
        faces,
        VideoStorageOpener(database, recognizers, resources.search.protector, trails, resources.keyring),
        recognizers,
        arrivals,
        resources.search,
        decisions.calibrations,
    )
    upkeep = AlbumUpkeep(database, resources.spool, turns, videos, AlbumExpiry(database, trails), uploaded)
    rematch = Rematch(database, resources.search, matcher, decisions)
    rotation = TemplateRotation(database, resources.keyring, trails)
    clusters = ClusterKeeper(database, resources.search, decisions)
    watched = videos if has_video_support() else None
    return AlbumWorker(database, jobs, rotation, turns, watched, upkeep, rematch, clusters)


async def _open_databases(
    stack: AsyncExitStack,
    settings: Settings,
    addresses: DatabaseAddresses,
    journal: Journal,
    watchdog: Watchdog,
) -> tuple[Database, Database | None]:
    """Open the service's pool and, if the operator API is enabled, one with the login that sees every tenant."""
    logins = [(addresses.service, settings.database_pool_size)]
    if settings.operator_token:
        logins.append((addresses.operator, 2))
    pools = [
        Database(
            address,
            pool_size=size,
            behind_pgbouncer=settings.database_pgbouncer,
            journal=journal,
            watchdog=watchdog,
        )
        for address, size in logins
    ]
    for pool in pools:
        stack.push_async_callback(pool.close)
    return pools[0], pools[1] if len(pools) > 1 else None


async def _warm_up(analyzer: FaceAnalyzer, executor: InferenceExecutor) -> None:
    """Run the models once, with a timeout: models that hang after a fork must fail the start, not every request."""
    try:
        async with asyncio.timeout(_WARM_UP_TIMEOUT_S):
            await executor.run(None, analyzer.warm_up)
    except TimeoutError:
        raise OperatorError(
            f"The models did not respond within {_WARM_UP_TIMEOUT_S} s. Workers inherit models that their parent "
            f"process loaded; set VULTUS_SHARE_MODELS=false so that each worker loads its own."
        ) from None


def _log_models(analyzer: FaceAnalyzer, *, is_inherited: bool) -> None:
    if client_of(analyzer) is None:
        warn_about_runtimes()
    for info in analyzer.engine.infos.values():
        _log.info(
            "model_loaded",
            pack=info.pack,
            recognizer=info.recognizer,
            providers=list(info.providers),
            precision=info.precision,
            inherited=is_inherited,
            calibration=info.calibration.description,
            license=info.license,
        )
        if info.knows_only_drawings:
            _log.warning("model_knows_only_drawn_faces", pack=info.pack)
