"""Serve the progress of an album as server-sent events."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.domain.albums import Album, PhotoCounts
from app.routes import API
from app.routes.deps.callers import CanRead, StateDep
from app.routes.deps.services import CallerDep
from app.routes.progress_events import LastEventId, stream_progress
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.albums import AlbumEventOut, PhotoCountsOut
from app.schemas.fields import CollectionName
from app.services.progress import Progress

router = strict_router(prefix=API + "/albums/{album}", tags=["albums"], responses={**AUTHENTICATED, **problems(404)})

AlbumId = Annotated[CollectionName, Path()]


async def find_album(album: AlbumId, caller: CallerDep) -> Album:
    """Find the album before the stream begins; raises `AlbumNotFound`."""
    async with caller.transaction() as services:
        return (await services.albums().get(album)).album


@router.get("/events", summary="Watch an album's progress", response_class=EventSourceResponse)
async def watch_album(
    principal: CanRead,
    album: Annotated[Album, Depends(find_album)],
    state: StateDep,
    last_event_id: LastEventId = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `progress` whenever something has changed, at most once a second, and `done` when no photo
    waits. The stream ends when the album is erased or the server stops; connect again then.
    """
    following = state.progress.follow((principal.tenant_id, album.collection_id))
    async for event in stream_progress(following, last_event_id, _describe):
        yield event


def _describe(progress: Progress[PhotoCounts]) -> AlbumEventOut:
    remaining = progress.remaining_s
    return AlbumEventOut(
        photos=PhotoCountsOut.of(progress.counts),
        photos_per_second=round(progress.per_second, 1),
        remaining_s=None if remaining is None else round(remaining, 1),
        at=datetime.now(UTC),
    )
