"""Serve the progress of an album as server-sent events."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Header, Path
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.domain.albums import Album
from app.routes import API
from app.routes.deps.callers import CanRead, StateDep
from app.routes.deps.services import CallerDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.albums import AlbumEventOut, PhotoCountsOut
from app.schemas.fields import CollectionName
from app.schemas.text_rules import TOKEN
from app.server.drain import drain
from app.services.albums.progress import Progress

router = strict_router(prefix=API + "/albums/{album}", tags=["albums"], responses={**AUTHENTICATED, **problems(404)})

AlbumId = Annotated[CollectionName, Path()]
LastEventId = Annotated[
    Annotated[str, TOKEN] | None,
    Header(alias="last-event-id", description="The id of the last event, which browsers send when they connect again."),
]


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
    sent = last_event_id
    async for progress in state.progress.follow((principal.tenant_id, album.collection_id)):
        if drain.has_begun:
            return
        if progress.id != sent:
            sent = progress.id
            yield _describe(progress)
    yield ServerSentEvent(event="erased", data={})


def _describe(progress: Progress) -> ServerSentEvent:
    counts = progress.counts
    is_done = counts.total > 0 and not counts.waiting
    remaining = progress.remaining_s
    event = AlbumEventOut(
        photos=PhotoCountsOut.of(counts),
        photos_per_second=round(progress.photos_per_second, 1),
        remaining_s=None if remaining is None else round(remaining, 1),
        at=datetime.now(UTC),
    )
    return ServerSentEvent(event="done" if is_done else "progress", id=progress.id, data=event.model_dump(mode="json"))
