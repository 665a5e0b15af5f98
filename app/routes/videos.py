"""Serve videos: receive, list and erase them; who appears in them, and where somebody appears."""

from typing import Annotated

from fastapi import BackgroundTasks, Depends, Path, Query, Response

from app.domain.videos import VideoState
from app.errors import AlbumNotFound, SubjectNotFound, VideoNotFound
from app.permissions import Permission
from app.routes import API
from app.routes.deps.callers import CanDelete, CanRead, CanRecognize, CanRegister, StateDep
from app.routes.deps.services import CallerDep, PageDep, ServicesDep
from app.routes.form_bodies import form_body
from app.routes.photo_fields import PhotoFields
from app.routes.responses import AUTHENTICATED, WITH_PHOTO, problems
from app.routes.strict_route import strict_router
from app.routes.uploads import ImageForm, image_form
from app.routes.video_form import VIDEO_BODY, VideoUpload, read_video_form
from app.schemas.fields import CollectionName, Id, SubjectId
from app.schemas.videos import (
    AnnouncedVideoOut,
    AppearancePage,
    FoundAppearanceOut,
    FoundAppearancesOut,
    PersonOut,
    ReceivedVideoOut,
    StoredVideoIn,
    VideoForm,
    VideoOut,
    VideoPage,
    VideoPeopleOut,
    VideoSearchForm,
)
from app.services.videos.subtitles import write_webvtt

router = strict_router(prefix=API, tags=["videos"], responses=AUTHENTICATED)

_SELFIE = PhotoFields({"image": 1})
_CUES = "WEBVTT\n\n00:00:01.500 --> 00:00:08.000\nAda Acker\n"
VideoId = Annotated[Id, Path()]
State = Annotated[VideoState | None, Query(description="Only videos in this state.")]
Album = Annotated[CollectionName | None, Query(description="Only videos of this album.")]
Selfie = Annotated[ImageForm[VideoSearchForm], Depends(image_form(VideoSearchForm, _SELFIE, Permission.RECOGNIZE))]


@router.post(
    "/videos",
    status_code=202,
    summary="Send a video",
    responses={
        **problems(AlbumNotFound, 409, 413, 422),
        200: {"model": ReceivedVideoOut, "description": "The same video was received before; it is not added again."},
    },
    openapi_extra=VIDEO_BODY,
)
async def add_video(
    _: CanRegister,
    upload: Annotated[VideoUpload | StoredVideoIn, Depends(read_video_form)],
    caller: CallerDep,
    response: Response,
) -> ReceivedVideoOut:
    """Workers look for faces in it, say who appears when, and delete it then; up to three faces a person stay.

    The file must be the last part of the form. A JSON body names a video in the object store that `PUT /object-store`
    names; a worker fetches it. Safe to repeat: a video that was received is not added twice.
    """
    if isinstance(upload, StoredVideoIn):
        received = await caller.video_sources().receive(upload.video(), upload.source())
    else:
        received = await caller.video_intake().receive(upload.fields.video(), upload.chunks)
    async with caller.transaction() as services:
        video = await services.videos().get(received.id)
    response.status_code = 202 if received.is_new else 200
    return ReceivedVideoOut.received(video, is_new=received.is_new)


@router.post(
    "/videos/uploads",
    status_code=201,
    summary="Get a form to upload a video with",
    responses=problems(AlbumNotFound, 409, 422, 503),
)
async def announce_video(_: CanRegister, body: VideoForm, caller: CallerDep) -> AnnouncedVideoOut:
    """A program without credentials can send the form with a video to the bucket, for 15 minutes.

    Needs a bucket. A video that does not arrive within an hour is forgotten. Safe to repeat: a video that is not there
    yet receives another form.
    """
    announced = await caller.video_uploads().announce(body.video())
    async with caller.transaction() as services:
        return AnnouncedVideoOut.announced(await services.videos().get(announced.id), announced)


@router.post(
    "/videos/{video_id:uuid}/uploaded",
    status_code=202,
    summary="Say that a video was uploaded",
    responses=problems(VideoNotFound, 409, 422, 503),
)
async def receive_uploaded_video(_: CanRegister, video_id: VideoId, caller: CallerDep) -> VideoOut:
    """Looks for the video in the bucket; if it is there, it waits to be processed.

    Without this request, an uploaded video is found within about a minute.
    """
    return VideoOut.of(await caller.video_uploads().complete(video_id))


@router.get("/videos", summary="List videos", responses=problems(AlbumNotFound, 422))
async def list_videos(
    _: CanRead, page: PageDep, services: ServicesDep, album: Album = None, state: State = None
) -> VideoPage:
    """Returns a page of videos in the order of arrival: how far each is, and why those failed that did."""
    found = await services.videos().list(album, page, state)
    return VideoPage(items=[VideoOut.of(one) for one in found.items], next_cursor=found.next_cursor)


@router.get("/videos/{video_id:uuid}", summary="Get a video's state", responses=problems(VideoNotFound, 422))
async def get_video(_: CanRead, video_id: VideoId, services: ServicesDep) -> VideoOut:
    """Returns how much of the video is processed, and how many people appear when it is done."""
    return VideoOut.of(await services.videos().get(video_id))


@router.delete(
    "/videos/{video_id:uuid}", status_code=204, summary="Erase a video", responses=problems(VideoNotFound, 422)
)
async def delete_video(
    _: CanDelete, video_id: VideoId, services: ServicesDep, state: StateDep, background: BackgroundTasks
) -> None:
    """Erases the video with its faces, also while it is processed."""
    await services.videos().delete(video_id)
    background.add_task(state.album_worker.empty_spool)


@router.get(
    "/videos/{video_id:uuid}/people", summary="List who appears in a video", responses=problems(VideoNotFound, 422)
)
async def list_people(_: CanRead, video_id: VideoId, services: ServicesDep) -> VideoPeopleOut:
    """Returns everybody with the times, those seen most often first. Empty until the video is done."""
    return VideoPeopleOut(people=[PersonOut.of(one) for one in await services.videos().people(video_id)])


@router.get(
    "/videos/{video_id:uuid}/people.vtt",
    summary="Get who appears when as subtitles",
    response_class=Response,
    responses={
        **problems(VideoNotFound, 422),
        200: {"content": {"text/vtt": {"schema": {"type": "string", "examples": [_CUES]}}}, "description": "WebVTT."},
    },
)
async def get_subtitles(_: CanRead, video_id: VideoId, services: ServicesDep) -> Response:
    """Returns a cue for each interval, so that a player shows names. Unknown people are numbered."""
    return Response(write_webvtt(await services.videos().people(video_id)), media_type="text/vtt")


@router.get(
    "/collections/{collection}/subjects/{subject}/appearances",
    summary="List where a subject appears",
    responses=problems(SubjectNotFound, 422),
)
async def list_appearances(
    _: CanRead,
    collection: Annotated[CollectionName, Path()],
    subject: Annotated[SubjectId, Path()],
    page: PageDep,
    services: ServicesDep,
) -> AppearancePage:
    """Returns a page of the appearances, in all videos, that match or may match the subject, oldest first."""
    found = await services.videos().appearances_of(collection, subject, page)
    return AppearancePage(items=[PersonOut.of(one) for one in found.items], next_cursor=found.next_cursor)


@router.post(
    "/videos/search",
    summary="Find videos that show somebody",
    responses={**WITH_PHOTO, **problems(AlbumNotFound)},
    openapi_extra=form_body(VideoSearchForm, _SELFIE),
)
async def search_videos(_: CanRecognize, upload: Selfie, caller: CallerDep) -> FoundAppearancesOut:
    """Returns every appearance that resembles the largest face of the photo, most similar first. Nothing is stored."""
    found = await caller.video_search().by_photo(upload.fields.album, await upload.image("image"))
    return FoundAppearancesOut(items=[FoundAppearanceOut.of(one) for one in found])
