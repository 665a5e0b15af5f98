"""Define the responses about events."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.events import EventPage, EventType, StoredEvent

EVENT_ID = "7d3c1b52-8a4e-4d58-9f0e-2b6f0a9c1e77"
Seq = Annotated[int, Field(description="The event's number; numbers grow in the order of the changes.", examples=[412])]
EventTypeField = Annotated[EventType, Field(examples=["face.registered"])]


class EventOut(BaseModel):
    """A change, told by ids alone."""

    seq: Seq
    id: UUID = Field(description="The event's id; webhooks send it as `webhook-id`.", examples=[EVENT_ID])
    type: EventTypeField
    timestamp: datetime = Field(description="When the change was made.", examples=["2026-03-02T14:05:11Z"])
    data: dict[str, Any] = Field(
        description="The ids of what changed, by type.", examples=[{"collection": "default", "subject": "emp-1042"}]
    )

    @classmethod
    def of(cls, event: StoredEvent) -> "EventOut":
        return cls(seq=event.seq, id=event.id, type=EventType(event.type), timestamp=event.at, data=dict(event.data))


class EventList(BaseModel):
    """Events in order."""

    items: list[EventOut]
    last_seq: int = Field(
        description="Send it as `after` to get the next events. At the end: the number of your tenant's newest event.",
        examples=[412],
    )
    is_complete: bool = Field(
        description="False if events after the requested number were already deleted by age, or if a backup was "
        "restored: read the present state once, then continue from `last_seq`.",
        examples=[True],
    )

    @classmethod
    def of(cls, page: EventPage) -> "EventList":
        items = [EventOut.of(event) for event in page.events]
        return cls(items=items, last_seq=page.last_seq, is_complete=page.is_complete)
