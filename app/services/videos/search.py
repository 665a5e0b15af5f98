"""Find the videos of an album that show somebody, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from app.domain.decisions import Decision, DecisionLimit
from app.domain.people import FaceCandidate
from app.domain.videos import Appearance, Video
from app.errors import about_image
from app.matcher.tenant_search import TenantSearch
from app.matcher.thresholds import Thresholds, limit_decision
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.appearances import AppearanceRepository
from app.persistence.repositories.videos import VideoRepository
from app.services.collections.decisions import DecisionMaker
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.photos.face_reader import FaceChoice, FaceReader


@dataclass(frozen=True, slots=True)
class FoundAppearance:
    """An appearance of somebody who resembles the probe."""

    video: Video
    appearance: Appearance
    similarity: float
    decision: Decision
    false_match_rate: float | None
    limits: tuple[DecisionLimit, ...]


class VideoSearch:
    """Searches the videos of the caller's albums."""

    def __init__(
        self,
        database: Database,
        principal: Principal,
        faces: FaceReader,
        galleries: GalleryLookup,
        search: TenantSearch,
        decisions: DecisionMaker,
    ) -> None:
        self._database = database
        self._principal = principal
        self._faces = faces
        self._galleries = galleries
        self._search = search
        self._decisions = decisions

    async def by_photo(self, album: str, image: bytes, threshold: float | None = None) -> list[FoundAppearance]:
        """Find every appearance that resembles the largest face of the image, most similar first.

        Raises `AlbumNotFound`, `NoFace`, or an `ImageRefused`.
        """
        tenant_id = self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            await AlbumRepository(session, tenant_id, self._principal.collections).get(album)
        gallery = await self._galleries.find(album)
        with about_image("image"):
            face, embedding = await self._faces.read_probe(image, FaceChoice.LARGEST, by=gallery.recognizer)
        scale = await self._search.read_scale(gallery)
        thresholds = self._decisions.thresholds(gallery.recognizer, scale, threshold)
        (candidates,) = await self._search.all_faces_like(gallery, [embedding], thresholds.review)
        by_face = {one.face.id: one for one in candidates}
        async with self._database.transaction(tenant_id) as session:
            appearances = await AppearanceRepository(session, tenant_id).list_by_faces(list(by_face))
            rows = VideoRepository(session, tenant_id)
            video_ids = {one.video_id for one in appearances}
            videos = {video_id: await rows.find(video_id) for video_id in video_ids}
        found = [
            _decide(video, one, by_face, thresholds, is_probe_reliable=face.quality.is_reliable)
            for one in appearances
            if (video := videos[one.video_id]) is not None
        ]
        return sorted(found, key=lambda one: (-one.similarity, one.appearance.id))


def _decide(
    video: Video,
    appearance: Appearance,
    candidates: Mapping[UUID, FaceCandidate],
    thresholds: Thresholds,
    *,
    is_probe_reliable: bool,
) -> FoundAppearance:
    best = max((candidates[face_id] for face_id in appearance.face_ids if face_id in candidates), key=_similarity)
    limits = () if is_probe_reliable else (DecisionLimit.PROBE_QUALITY,)
    if not best.face.is_reliable:
        limits = (*limits, DecisionLimit.TEMPLATE_QUALITY)
    decided = limit_decision(thresholds.decide(best.similarity), best.similarity, thresholds, limits)
    return FoundAppearance(video, appearance, best.similarity, *decided)


def _similarity(candidate: FaceCandidate) -> float:
    return candidate.similarity
