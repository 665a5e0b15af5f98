"""Stream progress as server-sent events: of albums and of videos."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, TypeVar

from fastapi import Header
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel

from app.schemas.text_rules import TOKEN
from app.server.drain import drain
from app.services.progress import Counted, Progress

C = TypeVar("C", bound=Counted)

LastEventId = Annotated[
    Annotated[str, TOKEN] | None,
    Header(alias="last-event-id", description="The id of the last event, which browsers send when they connect again."),
]


async def stream_progress(
    progress: AsyncIterator[Progress[C]], last_event_id: str | None, describe: Callable[[Progress[C]], BaseModel]
) -> AsyncIterator[ServerSentEvent]:
    """Yield `progress` whenever something has changed, `done` when nothing waits, and `erased` at the end.

    Ends without it when the server stops.
    """
    sent = last_event_id
    async for one in progress:
        if drain.has_begun:
            return
        if one.id != sent:
            sent = one.id
            data = describe(one).model_dump(mode="json")
            yield ServerSentEvent(event="done" if one.counts.is_done else "progress", id=one.id, data=data)
    yield ServerSentEvent(event="erased", data={})
