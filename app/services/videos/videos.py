"""List videos and who appears in them, and erase them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from app.domain.sightings import Sighting
from app.domain.videos import Appearance, Video, VideoState
from app.errors import FaceNotFound, VideoNotFound
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.appearances import AppearanceRepository
from app.persistence.repositories.sightings import SightingRepository
from app.persistence.repositories.videos import VideoRepository
from app.security.cursors import CursorSigner, read_number
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.paging import Page, PageRequest, bind_filters, cut_page
from app.services.people.stored_faces import PhotoFilter, StoredFaceService
from app.services.sightings.named_people import NamedPerson, PersonDirectory


@dataclass(frozen=True, slots=True)
class AppearingPerson:
    """Somebody who appears in a video, and who it is as far as that is known."""

    video: Video
    appearance: Appearance
    sighting: Sighting | None
    """None if its faces were given to a subject of the album's collection itself."""


class VideoService:
    """The videos in the caller's albums, within one transaction."""

    def __init__(
        self,
        albums: AlbumRepository,
        videos: VideoRepository,
        appearances: AppearanceRepository,
        sightings: SightingRepository,
        faces: StoredFaceService,
        people: PersonDirectory,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        self._albums = albums
        self._videos = videos
        self._appearances = appearances
        self._sightings = sightings
        self._faces = faces
        self._people = people
        self._cursors = cursors
        self._trail = trail

    async def get(self, video_id: UUID) -> Video:
        """Return a video; raises `VideoNotFound`."""
        video = await self._videos.find(video_id)
        if video is None or not self._albums.may_access(video.album):
            raise VideoNotFound(f"There is no video {video_id}.")
        return video

    async def list(self, album: str | None, request: PageRequest, state: VideoState | None = None) -> Page[Video]:
        """List one page of an album's videos, or of all, in the order of arrival; raises `AlbumNotFound`."""
        album_id = (await self._albums.get(album)).collection_id if album is not None else None
        scope = bind_filters(f"{self._videos.tenant_id}/videos", album=album, state=state)
        after = self._cursors.open(scope, request.cursor, read_number) if request.cursor else None
        found = await self._videos.list_page(album_id, state, after, request.limit + 1)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.seq)))
        return Page([one for one in page.items if self._albums.may_access(one.album)], page.next_cursor)

    async def people(self, video_id: UUID) -> Sequence[AppearingPerson]:
        """List who appears in a video, those seen most often first; raises `VideoNotFound`."""
        video = await self.get(video_id)
        appearances = await self._appearances.list_by_video(video_id)
        return await self._describe({video.id: video}, appearances)

    async def appearances_of(self, collection: str, subject: str, request: PageRequest) -> Page[AppearingPerson]:
        """List one page of where a subject appears, oldest first; raises `CollectionNotFound` or `SubjectNotFound`."""
        subject_id = await self._people.find_id(NamedPerson(collection, subject))
        scope = f"{self._videos.tenant_id}/subjects/{subject_id}/appearances"
        after = self._cursors.open(scope, request.cursor, read_number) if request.cursor else None
        found = await self._appearances.list_by_subject(subject_id, after, request.limit + 1)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last[0])))
        videos = {one.video_id: await self._videos.find(one.video_id) for _, one in page.items}
        visible = {
            video_id: video
            for video_id, video in videos.items()
            if video is not None and self._albums.may_access(video.album)
        }
        shown = [one for _, one in page.items if one.video_id in visible]
        return Page([*await self._describe(visible, shown)], page.next_cursor)

    async def delete(self, video_id: UUID) -> None:
        """Erase a video with its faces, in whatever state it is; raises `VideoNotFound`."""
        video = await self.get(video_id)
        with suppress(FaceNotFound):  # it may have none
            await self._faces.erase_photo(video.album, PhotoFilter(image_id=video.id))
        await self._videos.delete(video.id)
        await self._trail.record(AuditAction.VIDEO_ERASED, f"collection:{video.album}", collection=video.album)

    async def _describe(
        self, videos: dict[UUID, Video], appearances: Sequence[Appearance]
    ) -> Sequence[AppearingPerson]:
        found = await self._sightings.find([one.face_ids[0] for one in appearances]) if appearances else []
        sightings = {one.face_id: one for one in found}
        return [AppearingPerson(videos[one.video_id], one, sightings.get(one.face_ids[0])) for one in appearances]
