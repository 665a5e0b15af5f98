"""Store what became of the steps of videos, within one transaction of one tenant."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from app.domain.events import Event, EventType
from app.domain.sightings import MACHINE, FacePair
from app.domain.video_jobs import JobFace, JobMatch
from app.domain.videos import SeenFace, TrackedFace, VideoFacts, VideoState
from app.matcher.tracking.tracklets import Tracklet, choose_diverse
from app.permissions import Quota
from app.persistence.connections.database import Transaction
from app.persistence.repositories.appearances import AppearanceRepository, SeenStrand
from app.persistence.repositories.clusters import ClusterRepository
from app.persistence.repositories.face_crops import FaceCropRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.video_jobs import VideoJobRepository
from app.persistence.repositories.video_meter import VideoMeterRepository
from app.persistence.repositories.video_steps import StepKind, VideoStep, VideoStepRepository
from app.security.photo_encryption import PhotoCipher
from app.services.audit.actions import AuditAction
from app.services.collections.lookup import CollectionLookup
from app.services.people.face_storage import FaceStorage
from app.services.people.rules import anonymous_name
from app.services.sightings.arrival import Matched, SightingStorage
from app.services.videos.joining import FACES_A_PERSON, SeenPerson, SeenStrandFaces, find_overlapping
from app.services.videos.strand_codec import read_strand, write_strand

PART_MS = 60_000
"""The length of a part; what a killed worker's successor does again."""
_MAX_PAIRS = 2_000


@dataclass(frozen=True, slots=True)
class VideoStorage:
    """What it takes to store steps of videos, and in the end the people who appear in them."""

    session: Transaction
    steps: VideoStepRepository
    appearances: AppearanceRepository
    collections: CollectionLookup
    subjects: SubjectRepository
    storage: FaceStorage
    sightings: SightingStorage
    clusters: ClusterRepository
    crops: FaceCropRepository
    meter: VideoMeterRepository
    jobs: VideoJobRepository
    cipher: PhotoCipher

    async def plan(self, step: VideoStep, facts: VideoFacts) -> bool:
        """Add the steps of a video that was looked at, and count its seconds.

        Return False if somebody else did, or it was erased. Raises `QuotaExceeded`.
        """
        if not await self.steps.lock_video(step.video_id) or not await self.steps.finish(step):
            return False
        await self.steps.plan(step.video_id, facts)
        for number, begin_ms in enumerate(range(0, facts.duration_ms + 1, PART_MS), 1):
            # The last part has no end: containers round their length.
            end_ms = begin_ms + PART_MS
            await self.steps.add(step.video_id, number, StepKind.WATCH, begin_ms, end_ms)
        seconds = -(-facts.duration_ms // 1000)
        if not await self.meter.count(step.video_id, seconds, self.storage.quotas.limit(Quota.VIDEO_SECONDS)):
            raise self.storage.quotas.video_refused(seconds)
        return True

    async def store_part(self, step: VideoStep, tracklets: Sequence[Tracklet], recognizer: str) -> bool:
        """Store who was seen in a part; adds the last step after the last part. Return False as `plan` does."""
        if not await self.steps.lock_video(step.video_id) or not await self.steps.finish(step):
            return False
        strands = [self._encrypt(one, recognizer, is_tracked=step.job is not None) for one in tracklets]
        await self.appearances.add_strands(step.video_id, step.number, strands)
        if not await self.steps.count_open(step.video_id):
            await self.steps.add(step.video_id, step.number + 1_000_000, StepKind.JOIN)
        return True

    async def read_strands(self, video_id: UUID) -> list[SeenStrandFaces]:
        """Return what the steps of a video saw."""
        found = []
        for one in await self.appearances.list_strands(video_id):
            faces = self.cipher.decrypt(self.steps.tenant_id, one.id, one.key_id, one.faces)
            if faces is not None:  # else the service's secret was removed meanwhile
                found.append(SeenStrandFaces(one.interval, one.frames, *read_strand(faces)))
        return found

    async def store_people(self, step: VideoStep, people: Sequence[SeenPerson], matched: Matched) -> bool:
        """Store who appears in a video, and end it; return False as `plan` does.

        Raises `CollectionNotFound`, `QuotaExceeded`, `ConsentRequired` or `RecognizerChanged`.
        """
        collection_id, _ = await self.collections.lock_for_storing(step.album)
        if not await self.steps.lock_video(step.video_id) or not await self.steps.finish(step):
            return False
        faces, sighted = [face for one in people for face in one.faces], list[Event]()
        if faces:
            await self.storage.consent.require_for_anonymous()
            names = {one.faces[0].subject_id: anonymous_name(one.faces[0].id) for one in people}
            await self.subjects.add_anonymous(collection_id, names)
            await self.storage.templates.add_all(faces, collection_id=collection_id, source="video")
            places = {one.appearance.face_ids[0]: one.appearance.id for one in people}
            sighted = await self.sightings.store(step.album, collection_id, places, matched)
            pictures = {one.faces[0].id: one.picture for one in people if one.picture is not None}
            await self.crops.add_all(pictures, video_id=step.video_id)
            pairs = [FacePair(min(pair), max(pair), are_same=False) for pair in find_overlapping(people)[:_MAX_PAIRS]]
            if pairs:
                await self.clusters.add_constraints(collection_id, pairs, MACHINE)
        await self.appearances.replace_strands([one.appearance for one in people], step.video_id)
        await self.steps.end(step.video_id, VideoState.DONE, people=len(people))
        if faces:
            await self.storage.quotas.check(Quota.TEMPLATES)
        await self.storage.trail.record(
            AuditAction.VIDEO_PROCESSED,
            f"collection:{step.album}",
            events=[Event(EventType.VIDEO_DONE, step.album, ids={"video_id": str(step.video_id)}), *sighted],
            collection=step.album,
            faces=len(faces),
            seconds=round((step.duration_ms or 0) / 1000),
        )
        return True

    async def fail(self, step: VideoStep, code: str, detail: str) -> None:
        """End a video that cannot be processed."""
        if await self.steps.lock_video(step.video_id) and await self.steps.finish(step):
            await self.appearances.replace_strands([], step.video_id)
            await self.steps.end(step.video_id, VideoState.FAILED, code=code, detail=detail)
            await self.meter.take_back(step.video_id)
            ids = {"video_id": str(step.video_id), "code": code}
            await self.storage.trail.events.add([Event(EventType.VIDEO_FAILED, step.album or None, ids=ids)])

    async def store_job(
        self, step: VideoStep, faces: Sequence[JobFace], matches: Sequence[JobMatch], *, people: int
    ) -> None:
        """Store what a job found, and end its video; what its steps saw is erased."""
        if await self.steps.lock_video(step.video_id) and await self.steps.finish(step):
            await self.jobs.store(step.video_id, faces, matches)
            await self.appearances.replace_strands([], step.video_id)
            await self.steps.end(step.video_id, VideoState.DONE, people=people)
            ids = {"video_id": str(step.video_id)}  # it is the job's id, too
            await self.storage.trail.events.add([Event(EventType.VIDEO_DONE, step.album or None, ids=ids)])

    def _encrypt(self, tracklet: Tracklet, recognizer: str, *, is_tracked: bool) -> SeenStrand:
        strand_id = uuid4()
        chosen: list[SeenFace] = choose_diverse(tracklet.faces, recognizer, FACES_A_PERSON)
        faces = tracklet.faces if is_tracked else ()
        track = [TrackedFace(face.at_ms, face.box, face.detection_score) for face in faces]
        key_id, encrypted = self.cipher.encrypt(self.steps.tenant_id, strand_id, write_strand(chosen, track))
        best = tracklet.best
        return SeenStrand(strand_id, tracklet.interval, best.at_ms, best.box, len(tracklet.faces), key_id, encrypted)
