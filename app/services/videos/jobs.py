"""Look at videos of no album, for the Rekognition protocol: start jobs, finish them, and read what they found."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from uuid import UUID

from app.domain.decisions import Calibration
from app.domain.people import CollectionFace
from app.domain.video_jobs import JobFace, JobMatch, VideoJob, VideoJobKind, VideoJobOrder
from app.domain.videos import Sampling, VideoSource
from app.errors import CollectionNotFound, VideoJobNotFound
from app.matcher.engine import SearchEngine
from app.matcher.search import Gallery
from app.matcher.tenant_search import TenantSearch
from app.permissions import Principal
from app.persistence.connections.database import Transaction
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.video_jobs import VideoJobRepository
from app.persistence.repositories.video_steps import VideoStep
from app.persistence.repositories.videos import VideoRepository
from app.security.cursors import CursorSigner
from app.services.collections.lookup import CollectionLookup
from app.services.paging import Page, PageRequest, cut_page
from app.services.videos.admission import VideoLimits, check_waiting
from app.services.videos.joining import SeenStrandFaces, group_strands
from app.services.videos.storage import VideoStorage
from app.services.videos.turn_requests import request_fetch

MAX_MINUTES = 360.0
"""As AWS allows."""
_MAX_MATCHES = 100
"""Of one person."""

OpenVideoStorage = Callable[[UUID], AbstractAsyncContextManager[VideoStorage]]


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """A job, a page of its faces, and the stored faces that each person on it resembles."""

    job: VideoJob
    page: Page[JobFace]
    matches: Mapping[int, Sequence[tuple[CollectionFace, float]]]


class VideoJobService:
    """The jobs of one caller, within one transaction."""

    def __init__(
        self,
        session: Transaction,
        principal: Principal,
        limits: VideoLimits,
        lookup: CollectionLookup,
        cursors: CursorSigner,
    ) -> None:
        self._session = session
        self._principal = principal
        self._limits = limits
        self._lookup = lookup
        self._cursors = cursors
        self._jobs = VideoJobRepository(session, principal.tenant_id)

    async def start(
        self,
        kind: VideoJobKind,
        source: VideoSource,
        *,
        collection: str | None = None,
        min_similarity: float = -1.0,
        tag: str | None = None,
    ) -> UUID:
        """Start a job and return its id; raises `CollectionNotFound` or `TooManyVideosWaiting`."""
        collection_id = await self._lookup.find_id(collection) if collection is not None else None
        await check_waiting(VideoRepository(self._session, self._principal.tenant_id), self._limits)
        order = VideoJobOrder(kind, collection, collection_id, min_similarity, tag)
        job_id = await self._jobs.add(order, source, Sampling(max_minutes=MAX_MINUTES), self._principal.name)
        await request_fetch(self._session, self._principal.tenant_id, job_id)
        return job_id

    async def get(self, kind: VideoJobKind, job_id: UUID, request: PageRequest, *, by_person: bool) -> FoundFaces:
        """Return a job and a page of its faces, by time or by person; none until it is done.

        Raises `VideoJobNotFound` or `InvalidCursor`.
        """
        job = await self._jobs.find(job_id)
        allowed = self._principal.collections
        if job is None or job.order.kind is not kind:
            raise VideoJobNotFound(f"There is no job {job_id} of this kind.")
        if allowed is not None and job.order.collection is not None and job.order.collection not in allowed:
            raise VideoJobNotFound(f"There is no job {job_id} of this kind.")
        scope = f"{self._jobs.tenant_id}/video-jobs/{job_id}/{by_person}"
        after = self._cursors.open(scope, request.cursor, _read_place) if request.cursor else None
        found = await self._jobs.list_faces(job_id, after, request.limit + 1, by_person=by_person)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, f"{last.at_ms}:{last.person}"))
        return FoundFaces(job, page, await self._match(job, {one.person for one in page.items}))

    async def _match(
        self, job: VideoJob, people: Collection[int]
    ) -> Mapping[int, Sequence[tuple[CollectionFace, float]]]:
        """Return the stored faces that people resemble; those that were erased meanwhile are missing."""
        matches = await self._jobs.list_matches(job.id, people) if job.order.collection_id is not None else []
        if not matches or job.order.collection_id is None:
            return {}
        faces = CollectionFaceRepository(self._session, self._jobs.tenant_id)
        stored = await faces.find_by_ids(job.order.collection_id, list({one.face_id for one in matches}), ())
        found: dict[int, list[tuple[CollectionFace, float]]] = {}
        for one in matches:
            if one.face_id in stored:
                found.setdefault(one.person, []).append((stored[one.face_id].face, one.similarity))
        return found


class VideoJobRunner:
    """Finishes jobs in a worker; one per process."""

    def __init__(
        self, open_storage: OpenVideoStorage, engine: SearchEngine, calibrations: Mapping[str, Calibration]
    ) -> None:
        self._open_storage = open_storage
        self._engine = engine
        self._calibrations = calibrations

    async def finish(self, tenant_id: UUID, step: VideoStep, recognizer: str) -> None:
        """Number the people of a job's video, look for them in its collection, and store both."""
        assert step.job is not None
        async with self._open_storage(tenant_id) as storage:
            strands = await storage.read_strands(step.video_id)
        groups = await asyncio.to_thread(group_strands, strands, recognizer, self._calibrations[recognizer])
        numbered = _number(strands, groups)
        matches: list[JobMatch] = []
        if step.job.kind is VideoJobKind.SEARCH:
            matches = await self._search(tenant_id, step.job, strands, numbered, recognizer)
        faces = [
            face for person, group in enumerate(numbered) for index in group for face in _of(strands[index], person)
        ]
        async with self._open_storage(tenant_id) as storage:
            await storage.store_job(step, faces, matches, people=len(numbered))

    async def _search(
        self,
        tenant_id: UUID,
        order: VideoJobOrder,
        strands: Sequence[SeenStrandFaces],
        people: Sequence[Sequence[int]],
        recognizer: str,
    ) -> list[JobMatch]:
        """Return the reliable stored faces that each person resembles; faces of too low quality resemble nobody."""
        if order.collection_id is None:
            raise CollectionNotFound
        probes = [
            (person, face.embeddings[recognizer])
            for person, group in enumerate(people)
            for index in group
            for face in strands[index].faces
            if face.is_reliable
        ]
        if not probes:
            return []
        gallery = Gallery(order.collection_id, recognizer)
        search = TenantSearch(self._engine, tenant_id)
        found = await search.all_faces_like(gallery, [one for _, one in probes], order.min_similarity)
        best: dict[int, dict[UUID, float]] = {}
        for (person, _), candidates in zip(probes, found, strict=True):
            similar = best.setdefault(person, {})
            for one in candidates:
                if one.face.is_reliable:
                    similar[one.face.id] = max(one.similarity, similar.get(one.face.id, -1.0))
        return [
            JobMatch(person, face_id, similarity)
            for person, similar in best.items()
            for face_id, similarity in sorted(similar.items(), key=lambda one: -one[1])[:_MAX_MATCHES]
        ]


def _number(strands: Sequence[SeenStrandFaces], groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the strands of each person, in the order of appearance; those of no group are people of their own."""
    grouped = {index for group in groups for index in group}
    people = [*map(list, groups), *([index] for index in range(len(strands)) if index not in grouped)]
    return sorted(people, key=lambda group: min(strands[index].interval.begin_ms for index in group))


def _of(strand: SeenStrandFaces, person: int) -> list[JobFace]:
    return [JobFace(one.at_ms, person, one.box, one.detection_score) for one in strand.track]


def _read_place(position: str) -> tuple[int, int]:
    at_ms, _, person = position.partition(":")
    return int(at_ms), int(person)
