"""Find the photos of an album that show given people: all of them, not the best few."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.domain.decisions import Decision, DecisionLimit
from app.domain.people import FaceCandidate
from app.errors import InvalidCursor, about_image
from app.matcher.search import Gallery
from app.matcher.tenant_search import TenantSearch
from app.matcher.thresholds import Thresholds, limit_decision
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.videos import VideoRepository
from app.security.cursors import CursorSigner
from app.services.albums.known_people import KnownPeople, KnownPerson
from app.services.albums.wanted import WantedFace
from app.services.collections.decisions import DecisionMaker
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.paging import PageRequest
from app.services.photos.face_reader import FaceChoice, FaceReader

MAX_PEOPLE = 5

OpenPeople = Callable[[], AbstractAsyncContextManager[KnownPeople]]


class MatchMode(StrEnum):
    """Which photos are found if several people are looked for."""

    ANY = "any"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face in a photo, and which of the wanted people it resembles, counted from 0."""

    candidate: FaceCandidate
    person: int
    decision: Decision
    false_match_rate: float | None
    limits: tuple[DecisionLimit, ...]


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """A photo with the faces found in it, most similar first."""

    photo_id: UUID
    external_id: str | None
    faces: list[FoundFace]

    @property
    def similarity(self) -> float:
        """That of its most similar face."""
        return self.faces[0].candidate.similarity


@dataclass(frozen=True, slots=True)
class AlbumSearchResult:
    """One page of photos, most similar first; `total` counts all pages."""

    photos: list[FoundPhoto]
    total: int
    thresholds: Thresholds
    recognizer: str
    next_cursor: str | None


class AlbumSearch:
    """Searches the caller's albums; each search reads its own snapshot.

    A page is cut from the whole result by a position, and nothing about the wanted people is kept between pages.
    """

    def __init__(
        self,
        database: Database,
        principal: Principal,
        faces: FaceReader,
        galleries: GalleryLookup,
        search: TenantSearch,
        decisions: DecisionMaker,
        cursors: CursorSigner,
        open_people: OpenPeople,
    ) -> None:
        self._open_people = open_people
        self._database = database
        self._principal = principal
        self._faces = faces
        self._galleries = galleries
        self._search = search
        self._decisions = decisions
        self._cursors = cursors

    async def by_photos(
        self,
        name: str,
        images: Sequence[bytes],
        page: PageRequest,
        *,
        mode: MatchMode = MatchMode.ANY,
        threshold: float | None = None,
        lowest: Decision = Decision.REVIEW,
        field: str = "images",
    ) -> AlbumSearchResult:
        """Find the photos that show the largest face of each image.

        Only faces of at least the decision `lowest` are found. Raises `AlbumNotFound`, `NoFace`, or an `ImageRefused`.
        """
        gallery = await self._open(name)
        wanted = list[WantedFace]()
        for image in images:
            with about_image(field):
                face, embedding = await self._faces.read_probe(image, FaceChoice.LARGEST, by=gallery.recognizer)
            wanted.append(WantedFace(embedding, face.quality.is_reliable))
        return await self._by_faces(name, gallery, wanted, page, mode=mode, threshold=threshold, lowest=lowest)

    async def by_people(
        self,
        name: str,
        people: Sequence[KnownPerson],
        page: PageRequest,
        *,
        mode: MatchMode = MatchMode.ANY,
        threshold: float | None = None,
        lowest: Decision = Decision.REVIEW,
    ) -> AlbumSearchResult:
        """Find the photos that show registered people; see `by_photos` and `KnownPeople.read` for errors."""
        gallery = await self._open(name)
        async with self._open_people() as known:
            wanted = await known.read(people, gallery.recognizer)
        return await self._by_faces(name, gallery, wanted, page, mode=mode, threshold=threshold, lowest=lowest)

    async def _by_faces(
        self,
        name: str,
        gallery: Gallery,
        wanted: Sequence[WantedFace],
        page: PageRequest,
        *,
        mode: MatchMode,
        threshold: float | None,
        lowest: Decision,
    ) -> AlbumSearchResult:
        """Find the photos that show these faces; see `by_photos`."""
        scale = await self._search.read_scale(gallery)
        thresholds = self._decisions.thresholds(gallery.recognizer, scale, threshold)
        min_similarity = thresholds.match if lowest is Decision.MATCH else thresholds.review
        found = await self._search.all_faces_like(gallery, [one.embedding for one in wanted], min_similarity)
        decided = [
            _decide(candidate, person, thresholds, is_probe_reliable=wanted[person].is_reliable)
            for person, candidates in enumerate(found)
            for candidate in candidates
        ]
        videos = await self._find_videos({face.candidate.face.image_id for face in decided})
        kept = [
            face
            for face in decided
            if face.candidate.face.image_id not in videos
            and (lowest is not Decision.MATCH or face.decision is Decision.MATCH)
        ]
        photos = _group(kept, mode, len(wanted))
        return self._cut(name, photos, page, thresholds, gallery.recognizer)

    async def _find_videos(self, image_ids: Collection[UUID | None]) -> set[UUID | None]:
        """Return which faces come from videos, by their image ids: those are found by a search of their own."""
        async with self._database.transaction(self._principal.tenant_id) as session:
            rows = VideoRepository(session, self._principal.tenant_id)
            return set(await rows.filter_ids([one for one in image_ids if one is not None]))

    async def _open(self, name: str) -> Gallery:
        """Return the album's gallery; raises `AlbumNotFound`."""
        async with self._database.transaction(self._principal.tenant_id) as session:
            albums = AlbumRepository(session, self._principal.tenant_id, self._principal.collections)
            await albums.get(name)
        return await self._galleries.find(name)

    def _cut(
        self, name: str, photos: list[FoundPhoto], page: PageRequest, thresholds: Thresholds, recognizer: str
    ) -> AlbumSearchResult:
        scope = f"{self._principal.tenant_id}/albums/{name}/search"
        after = self._cursors.open(scope, page.cursor, _read_position) if page.cursor else None
        rest = [photo for photo in photos if after is None or _position(photo) > after]
        shown = rest[: page.limit]
        more = len(rest) > page.limit
        cursor = self._cursors.sign(scope, _write_position(shown[-1])) if more else None
        return AlbumSearchResult(shown, len(photos), thresholds, recognizer, cursor)


def _decide(candidate: FaceCandidate, person: int, thresholds: Thresholds, *, is_probe_reliable: bool) -> FoundFace:
    """Decide on a face. Neither a bad probe nor a bad stored face ever makes a match."""
    limits = () if is_probe_reliable else (DecisionLimit.PROBE_QUALITY,)
    if not candidate.face.is_reliable:
        limits = (*limits, DecisionLimit.TEMPLATE_QUALITY)
    decision = thresholds.decide(candidate.similarity)
    return FoundFace(candidate, person, *limit_decision(decision, candidate.similarity, thresholds, limits))


def _group(faces: Sequence[FoundFace], mode: MatchMode, people: int) -> list[FoundPhoto]:
    """Group faces by photo, most similar first. A face that resembles several people counts for the most similar."""
    best: dict[UUID, FoundFace] = {}
    for face in faces:
        known = best.get(face.candidate.face.id)
        if known is None or face.candidate.similarity > known.candidate.similarity:
            best[face.candidate.face.id] = face
    by_photo: dict[UUID, list[FoundFace]] = {}
    for face in best.values():
        if face.candidate.face.image_id is not None:
            by_photo.setdefault(face.candidate.face.image_id, []).append(face)
    photos = [
        FoundPhoto(
            photo_id,
            shown[0].candidate.face.external_image_id,
            sorted(shown, key=lambda face: -face.candidate.similarity),
        )
        for photo_id, shown in by_photo.items()
        if mode is MatchMode.ANY or len({face.person for face in shown}) == people
    ]
    return sorted(photos, key=_position)


Position = tuple[float, str]


def _position(photo: FoundPhoto) -> Position:
    return -round(photo.similarity, 6), photo.photo_id.hex


def _write_position(photo: FoundPhoto) -> str:
    similarity, photo_id = _position(photo)
    return f"{similarity:.6f}:{photo_id}"


def _read_position(position: str) -> Position:
    similarity, _, photo_id = position.partition(":")
    if len(photo_id) != 32:
        raise InvalidCursor
    return round(float(similarity), 6), photo_id
