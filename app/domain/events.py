"""Events: what changed, told to callers by ids alone, and the webhooks that they are sent to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class EventType(StrEnum):
    """What happened."""

    SUBJECT_CREATED = "subject.created"
    SUBJECT_UPDATED = "subject.updated"
    SUBJECT_DELETED = "subject.deleted"
    FACE_REGISTERED = "face.registered"
    FACE_DELETED = "face.deleted"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    RETENTION_EXPIRED = "retention.expired"
    COLLECTION_CREATED = "collection.created"
    COLLECTION_UPDATED = "collection.updated"
    COLLECTION_DELETED = "collection.deleted"
    PHOTO_DONE = "photo.done"
    PHOTO_FAILED = "photo.failed"
    ALBUM_DONE = "album.done"
    VIDEO_DONE = "video.done"
    VIDEO_FAILED = "video.failed"
    SIGHTING_MATCHED = "sighting.matched"
    SIGHTING_REVIEW = "sighting.review"
    CLUSTER_ASSIGNED = "cluster.assigned"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    QUOTA_REACHED = "quota.reached"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_TEST = "webhook.test"


ADMIN_EVENTS = frozenset(
    {EventType.KEY_CREATED, EventType.KEY_REVOKED, EventType.QUOTA_REACHED, EventType.WEBHOOK_DISABLED}
)
"""The events that only admins may read."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change to tell of, by ids; `collection` and `subject` are external ids, other ids are in `ids`."""

    type: EventType
    collection: str | None = None
    subject: str | None = None
    ids: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Any]:
        """All ids, as callers get them."""
        named = {"collection": self.collection, "subject": self.subject}
        return {name: value for name, value in named.items() if value is not None} | dict(self.ids)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with its number within the tenant, its id and the time of the change."""

    seq: int
    id: UUID
    at: datetime
    type: str
    data: Mapping[str, Any]
    traceparent: str | None = None
    """The trace of the change, in the format of W3C Trace Context, if it is exported."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in order, and the number after which to go on.

    `is_complete` is False if events after the requested number were deleted by age, or if there never was an event with
    that number, because a backup was restored.
    """

    events: list[StoredEvent]
    is_complete: bool
    last_seq: int


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class DisabledBecause(StrEnum):
    """Why a webhook is sent nothing."""

    CALLER = "caller"
    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that events are sent to; empty `types` and `collections` stand for all."""

    id: UUID
    created_at: datetime
    url: str
    description: str
    types: tuple[str, ...]
    collections: tuple[str, ...]
    is_enabled: bool
    disabled_because: DisabledBecause | None
    failing_since: datetime | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to a webhook, and the outcome of the last attempt."""

    event: StoredEvent
    state: DeliveryState
    attempts: int
    due_at: datetime
    attempted_at: datetime | None
    status: int | None
    error: str | None
    order_key: str
    """Of the deliveries with one key, the earlier one is sent first."""
