"""Serve the progress of a video as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Path
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.domain.videos import Video
from app.routes import API
from app.routes.deps.callers import CanRead, StateDep
from app.routes.deps.services import CallerDep
from app.routes.progress_events import LastEventId, stream_progress
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.fields import Id
from app.schemas.video_events import VideoEventOut

router = strict_router(prefix=API + "/videos", tags=["videos"], responses={**AUTHENTICATED, **problems(404, 422)})


async def find_video(video_id: Annotated[Id, Path()], caller: CallerDep) -> Video:
    """Find the video before the stream begins; raises `VideoNotFound`."""
    async with caller.transaction() as services:
        return await services.videos().get(video_id)


@router.get("/{video_id:uuid}/events", summary="Watch a video's progress", response_class=EventSourceResponse)
async def watch_video(
    principal: CanRead,
    video: Annotated[Video, Depends(find_video)],
    state: StateDep,
    last_event_id: LastEventId = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `progress` whenever something has changed, at most once a second, and `done` when the video
    is done or has failed. The stream ends when the video is erased or the server stops; connect again then.
    """
    following = state.video_progress.follow((principal.tenant_id, video.id))
    async for event in stream_progress(following, last_event_id, VideoEventOut.of):
        yield event
