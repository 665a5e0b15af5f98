"""Receive videos that lie elsewhere: uploaded to the bucket by the caller, or in the tenant's own object store.

A worker copies each into encrypted parts when its turn comes.
"""

from dataclasses import dataclass, field
from uuid import UUID

from app.domain.videos import NewVideo, Video, VideoSource, VideoState
from app.errors import UploadsNeedBucket, VideoNotFound, VideoNotUploaded
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.announced_videos import AnnouncedVideoRepository
from app.persistence.repositories.videos import UPLOADING, KnownVideo, VideoRepository
from app.persistence.upload_forms import UploadForm
from app.services.photos.uploaded_objects import UploadedObjects
from app.services.videos.admission import ReceivedVideo, VideoLimits, admit, has_another
from app.services.videos.arrivals import AnnouncedVideos
from app.services.videos.turn_requests import request_fetch


@dataclass(frozen=True, slots=True)
class AnnouncedVideo:
    """A video that may be uploaded with the form, and whether this call added it."""

    id: UUID
    form: UploadForm = field(repr=False)
    is_new: bool


class VideoUploads:
    """Receives videos of one caller's albums through the bucket."""

    def __init__(
        self, database: Database, spool: PhotoSpool, kind: AnnouncedVideos, principal: Principal, limits: VideoLimits
    ) -> None:
        self._database = database
        self._spool = spool
        self._kind = kind
        self._uploaded = UploadedObjects(database, spool, kind)
        self._principal = principal
        self._limits = limits

    async def announce(self, new: NewVideo) -> AnnouncedVideo:
        """Return a form to upload a video with; one that was announced before receives a new form.

        Raises `UploadsNeedBucket`, `AlbumNotFound`, `AlbumClosed`, `VideoExists`, `TooManyVideosWaiting`, or
        `PhotoStoreUnavailable`.
        """
        tenant_id, signer = self._principal.tenant_id, self._spool.uploads
        async with self._database.transaction(tenant_id) as session:
            if signer is None:
                await AlbumRepository(session, tenant_id, self._principal.collections).get(new.album)
                raise UploadsNeedBucket(
                    "This server keeps waiting videos in a directory. Send the video to POST /videos, or ask the "
                    "operator to set VULTUS_PHOTO_STORE to a bucket (s3://bucket/prefix)."
                )
            replaced = {VideoState.FAILED.value, UPLOADING}
            state = VideoState.ANNOUNCED.value
            begun = await admit(session, self._principal, self._limits, new, state=state, replaced=replaced)
            if isinstance(begun, KnownVideo):
                if begun.state != VideoState.ANNOUNCED:
                    raise has_another(new.external_id)
                await AnnouncedVideoRepository(session, tenant_id).announce_again(begun.id, new)
        video_id = begun.id if isinstance(begun, KnownVideo) else begun
        (form,) = await signer.sign(tenant_id, [video_id], self._kind.max_bytes)
        return AnnouncedVideo(video_id, form, is_new=not isinstance(begun, KnownVideo))

    async def complete(self, video_id: UUID) -> Video:
        """Receive an announced video that is in the bucket.

        Raises `VideoNotFound`, `VideoNotUploaded`, `VideoTooLarge`, or `PhotoStoreUnavailable`.
        """
        before = await self._find(video_id)
        if before.state is not VideoState.ANNOUNCED:
            return before
        arrivals = await self._uploaded.receive(self._principal.tenant_id, [video_id])
        if video_id in arrivals.too_large:
            raise self._kind.describe_too_large()
        after = await self._find(video_id)
        if after.state is VideoState.ANNOUNCED:
            raise VideoNotUploaded("The video is not in the bucket. Upload it with the form, then try again.")
        return after

    async def _find(self, video_id: UUID) -> Video:
        tenant_id = self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            video = await VideoRepository(session, tenant_id).find(video_id)
            albums = AlbumRepository(session, tenant_id, self._principal.collections)
        if video is None or not albums.may_access(video.album):
            raise VideoNotFound(f"There is no video {video_id}.")
        return video


class VideoSources:
    """Receives videos of one caller's albums by their names in the tenant's object store."""

    def __init__(self, database: Database, principal: Principal, limits: VideoLimits) -> None:
        self._database = database
        self._principal = principal
        self._limits = limits

    async def receive(self, new: NewVideo, source: VideoSource) -> ReceivedVideo:
        """Receive a video; the same source again is not received again, unless it failed.

        Raises `AlbumNotFound`, `AlbumClosed`, `VideoExists`, or `TooManyVideosWaiting`.
        """
        tenant_id = self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            state = VideoState.RECEIVED.value
            begun = await admit(session, self._principal, self._limits, new, state=state, source=source)
            if isinstance(begun, KnownVideo):
                if begun.source != source:
                    raise has_another(new.external_id)
                return ReceivedVideo(begun.id, is_new=False)
            await request_fetch(session, tenant_id, begun)
        return ReceivedVideo(begun, is_new=True)
