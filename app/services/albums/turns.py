"""Process a tenant's turn: at most 16 of its photos, then the next tenant's turn comes first.

A turn takes waiting photos under a lease, adds the tenant's next turn at the tail of the job queue if more wait,
analyzes the photos, and stores their faces in one transaction for each album. A worker that is killed loses its leases;
another one takes the photos again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from app.domain.albums import PhotoState, WaitingPhoto
from app.domain.collections import Recognizers
from app.errors import (
    AppError,
    CollectionNotFound,
    ConsentRequired,
    ImageRefused,
    InternalError,
    ObjectStoreUnavailable,
    ObjectUnavailable,
    QuotaExceeded,
    RecognizerChanged,
    RecognizerUnavailable,
)
from app.persistence.connections.database import Database
from app.persistence.repositories.hot_queries import HotQueries
from app.persistence.repositories.photo_turns import (
    FinishedPhoto,
    PhotoTurnRepository,
    find_tenants_with_lost_photos,
    start_photo,
)
from app.services.albums.announcing import announce_lost
from app.services.albums.photo_faces import PhotoFaces, PhotoReader
from app.services.albums.photo_storage import PhotoStorage
from app.services.albums.suspects import SuspectGate
from app.services.albums.turn_requests import request_turn
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.retries import retry_transient
from app.services.sightings.arrival import ArrivalMatcher
from app.telemetry import get_logger, metrics
from app.telemetry.spans import SpanKind, continued_span

_log = get_logger(__name__)

PHOTOS_A_TURN = 16
_LEASE_S = 45.0
_RENEW_S = 10.0
_LOST_AFTER_S = 20.0
"""A photo that arrived so long ago should have a turn."""
_STORE_ATTEMPTS = 5
_MAX_FETCHES = 3
_FETCH_PAUSE_S = 30.0
"""A photo whose tenant's object store is away is fetched again after this time, by later turns."""
_MAY_PASS = (QuotaExceeded, ConsentRequired, RecognizerUnavailable)
"""Failures that another try may not have; the photo is kept for it."""

OpenStorage = Callable[[UUID], AbstractAsyncContextManager[PhotoStorage]]


@dataclass(slots=True)
class _Turn:
    """One tenant's turn: the lease, the photos, those that a worker has begun with, and what became of them."""

    tenant_id: UUID
    photos: list[WaitingPhoto]
    lease: UUID = field(default_factory=uuid4)
    begun: set[UUID] = field(default_factory=set)
    found: list[PhotoFaces] = field(default_factory=list)
    failed: list[FinishedPhoto] = field(default_factory=list)
    away: dict[UUID, ObjectStoreUnavailable] = field(default_factory=dict)
    """The photos whose object store does not respond."""
    recognizers: dict[str, Recognizers | AppError] = field(default_factory=dict)

    @property
    def is_suspect(self) -> bool:
        """Whether it is a photo that was lost before, alone."""
        return bool(self.photos) and self.photos[0].attempts > 0


class PhotoTurns:
    """Processes turns; one per process. `open_storage` opens a transaction of one tenant."""

    def __init__(
        self,
        database: Database,
        reader: PhotoReader,
        directory: RecognizerDirectory,
        open_storage: OpenStorage,
        arrivals: ArrivalMatcher,
    ) -> None:
        self._arrivals = arrivals
        self._database = database
        self._reader = reader
        self._directory = directory
        self._open_storage = open_storage
        self._places = asyncio.Semaphore(reader.threads + 1)  # one more reads while the others are analyzed
        self._suspects = SuspectGate()

    async def run(self, tenant_id: UUID) -> None:
        """Process one turn; never raises, because the photos' rows tell what is left."""
        try:
            turn = await self._take(tenant_id)
        except AppError as exc:
            _log.warning("photo_turn_not_taken", code=exc.code)
            return
        try:
            async with self._suspects.enter(alone=turn.is_suspect), self._renewing(turn):
                await self._process(turn)
        except AppError as exc:
            _log.warning("photo_turn_interrupted", code=exc.code)
            await self._give_back(turn)
        except Exception as exc:  # noqa: BLE001 - an error of ours must not lose the photos
            _log.error("photo_turn_interrupted", error=type(exc).__name__)
            await self._give_back(turn)

    async def recover(self) -> int:
        """Give turns to tenants whose photos would wait for ever; return how many. Any process may do so."""
        tenants = await find_tenants_with_lost_photos(self._database, _LOST_AFTER_S)
        for tenant_id in tenants:
            async with self._database.transaction(tenant_id) as session:
                turns = PhotoTurnRepository(session, tenant_id)
                await turns.take_turn()
                await request_turn(session, tenant_id)
        return len(tenants)

    async def _take(self, tenant_id: UUID) -> _Turn:
        turn = _Turn(tenant_id, [])
        async with self._database.transaction(tenant_id) as session:
            rows = PhotoTurnRepository(session, tenant_id)
            await rows.take_turn()
            lost = await rows.give_back_lost()
            for code in lost.values():
                metrics.observe_photo(PhotoState.FAILED.value, code)
            await announce_lost(session, tenant_id, lost)
            turn.photos = await rows.take(turn.lease, _LEASE_S, PHOTOS_A_TURN)
            if turn.photos and await rows.has_waiting():
                await request_turn(session, tenant_id)
        return turn

    async def _process(self, turn: _Turn) -> None:
        """Analyze and store what can be; then raise the first error of the service, so that the rest is given back."""
        analyzed = await asyncio.gather(*(self._analyze(turn, photo) for photo in turn.photos), return_exceptions=True)
        places = {photo.id: place for place, photo in enumerate(turn.photos)}
        turn.found.sort(key=lambda one: places[one.photo.id])  # so that sightings are in the order of arrival
        for album in dict.fromkeys(one.photo.album for one in turn.found):
            await self._store(turn, album, [one for one in turn.found if one.photo.album == album])
        if turn.away:
            await self._postpone(turn)
        if turn.failed:
            await self._store_failures(turn)
            for failed in turn.failed:
                metrics.observe_photo(failed.state.value, failed.code)
        for error in analyzed:
            if error is not None:
                raise error

    async def _store_failures(self, turn: _Turn) -> None:
        albums = {photo.id: photo.album for photo in turn.photos}
        by_album: dict[str, list[FinishedPhoto]] = {}
        for one in turn.failed:
            by_album.setdefault(albums[one.id], []).append(one)
        async with self._open_storage(turn.tenant_id) as storage:
            for album, failed in by_album.items():
                await storage.fail(album, turn.lease, failed)

    async def _analyze(self, turn: _Turn, photo: WaitingPhoto) -> None:
        try:
            async with self._places:
                with continued_span("album photo", SpanKind.CONSUMER, photo.traceparent):
                    await self._find_faces(turn, photo)
        except ObjectStoreUnavailable as exc:
            turn.away[photo.id] = exc
        except (ImageRefused, ObjectUnavailable, *_MAY_PASS, CollectionNotFound) as exc:
            turn.failed.append(_fail(photo, exc))
        except AppError:
            raise  # of the service, not of the photo
        except Exception as exc:  # noqa: BLE001 - an error of ours fails this photo, not the others
            _log.error("photo_not_processed", error=type(exc).__name__)
            turn.failed.append(_fail(photo, InternalError(), keeps_object=True))

    async def _find_faces(self, turn: _Turn, photo: WaitingPhoto) -> None:
        recognizers = await self._recognizers(turn, photo.album)
        image = await self._load(turn, photo)
        if not await start_photo(self._database, turn.tenant_id, photo.id, turn.lease, _LEASE_S):
            return  # another worker has it
        turn.begun.add(photo.id)
        turn.found.append(await self._reader.find_faces(photo, image, recognizers))

    async def _load(self, turn: _Turn, photo: WaitingPhoto) -> bytes:
        """Read a photo. A store that does not respond is asked once a turn, so that others' photos need not wait."""
        if photo.source is not None and turn.away:
            raise next(iter(turn.away.values()))
        return await self._reader.load(turn.tenant_id, photo)

    async def _postpone(self, turn: _Turn) -> None:
        """Leave photos whose store is away to later turns; those that were fetched often enough fail."""
        async with self._database.transaction(turn.tenant_id) as session:
            rows = PhotoTurnRepository(session, turn.tenant_id)
            later = await rows.postpone(turn.lease, turn.away, max_fetches=_MAX_FETCHES, pause_s=_FETCH_PAUSE_S)
        away = [photo for photo in turn.photos if photo.id in turn.away and photo.id not in later]
        turn.failed += [_fail(photo, turn.away[photo.id], keeps_object=True) for photo in away]

    async def _store(self, turn: _Turn, album: str, found: list[PhotoFaces]) -> None:
        """Store photos together; if that fails for a reason of theirs, one by one."""

        async def store() -> list[FinishedPhoto]:
            async with self._open_storage(turn.tenant_id) as storage:
                return await storage.store(album, turn.lease, found, matched)

        probes = [probe for one in found for probe in one.probes()]
        matched = await self._arrivals.match(turn.tenant_id, found[0].photo.collection_id, probes)

        try:
            finished = await retry_transient(store, _STORE_ATTEMPTS, pause_s=0.05)
        except RecognizerChanged:
            raise  # embed them again
        except CollectionNotFound:
            return  # erased meanwhile, and the photos with it
        except _MAY_PASS as exc:
            if len(found) == 1:
                turn.failed.append(_fail(found[0].photo, exc))
                return
            for one in found:
                await self._store(turn, album, [one])
            return
        for photo in finished:
            metrics.observe_photo(photo.state.value, photo.code)

    async def _recognizers(self, turn: _Turn, album: str) -> Recognizers:
        """Return the recognizers of an album's collection, looked up once a turn."""
        known = turn.recognizers.get(album)
        if known is None:
            found = await HotQueries(self._database, turn.tenant_id).find_collection(album)
            try:
                if found is None:
                    raise CollectionNotFound
                known = self._directory.of(album, found.recognizer, found.secondary)
            except (CollectionNotFound, RecognizerUnavailable) as exc:
                known = exc
            turn.recognizers[album] = known
        if isinstance(known, AppError):
            raise known
        return known

    async def _give_back(self, turn: _Turn) -> None:
        """Let others process the photos; if even that fails, the lease runs out."""
        with suppress(AppError):
            async with self._database.transaction(turn.tenant_id) as session:
                await PhotoTurnRepository(session, turn.tenant_id).give_back(turn.lease, turn.begun)

    @asynccontextmanager
    async def _renewing(self, turn: _Turn) -> AsyncIterator[None]:
        task = asyncio.create_task(self._renew(turn))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _renew(self, turn: _Turn) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            with suppress(AppError):
                async with self._database.transaction(turn.tenant_id) as session:
                    await PhotoTurnRepository(session, turn.tenant_id).renew(turn.lease, _LEASE_S)


def _fail(photo: WaitingPhoto, error: AppError, *, keeps_object: bool = False) -> FinishedPhoto:
    return FinishedPhoto(
        photo.id,
        PhotoState.FAILED,
        code=error.code,
        detail=error.detail,
        keeps_object=keeps_object or isinstance(error, _MAY_PASS),
    )
