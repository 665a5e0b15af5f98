"""Serve events: what changed, to catch up by asking, or as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.domain.events import EventType
from app.routes import API
from app.routes.deps.callers import CanRead, StateDep
from app.routes.deps.services import CallerDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.events import EventList, EventOut
from app.server.drain import drain

router = strict_router(prefix=API + "/events", tags=["events"], responses={**AUTHENTICATED, **problems(422)})

_MAX_SEQ = 2**63 - 1
_MAX_LIMIT = 1000

After = Annotated[int, Query(ge=0, le=_MAX_SEQ, description="The number of the last event that you know.")]
Types = Annotated[list[EventType] | None, Query(max_length=50, description="Only events of these types.")]


@router.get("", summary="List events after a number")
async def list_events(
    _: CanRead,
    caller: CallerDep,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=_MAX_LIMIT, description="Maximum number of events.")] = 100,
    types: Types = None,
) -> EventList:
    """Returns events in the order of the changes. Events are deleted by age. When a subject or a collection is deleted,
    its events are deleted at once, except that it was deleted. Admins also read events of keys, quotas and webhooks."""
    return EventList.of(await caller.events().list_after(after, limit, types))


async def hold_stream(principal: CanRead, state: StateDep) -> AsyncIterator[None]:
    """Count the stream until it ends; raises `TooManyStreams`."""
    with state.event_streams.enter(principal.tenant_id):
        yield


@router.get("/stream", summary="Watch events", response_class=EventSourceResponse)
async def watch_events(
    _: CanRead,
    __: Annotated[None, Depends(hold_stream)],
    caller: CallerDep,
    after: Annotated[
        int | None, Query(ge=0, le=_MAX_SEQ, description="Begin after this event. Unset: with the next one.")
    ] = None,
    types: Types = None,
    last_event_id: Annotated[
        int | None,
        Header(ge=0, le=_MAX_SEQ, alias="last-event-id", description="As browsers send it when they connect again."),
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events, each with its number as id, its type as name, and data as in `GET /events`. The stream ends
    after 15 minutes, or when the server stops; connect again then. A server process watches 20 streams of a tenant at
    the same time."""
    events = caller.events()
    begin = last_event_id if last_event_id is not None else after
    async for found in events.follow(await events.last_seq() if begin is None else begin, types):
        for event in found:
            described = EventOut.of(event)
            yield ServerSentEvent(event=event.type, id=str(event.seq), data=described.model_dump(mode="json"))
        if drain.has_begun:
            return
