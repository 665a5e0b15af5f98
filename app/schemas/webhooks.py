"""Define the requests and responses of webhooks."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from app.domain.events import Delivery, DeliveryState, DisabledBecause, EventType, Webhook
from app.schemas import answer_fields as answer
from app.schemas.events import EventOut
from app.schemas.fields import CollectionName, Timestamp
from app.schemas.request_body import RequestBody
from app.schemas.text_rules import PRINTABLE, TOKEN
from app.services.webhooks.webhooks import IssuedWebhook, WebhookChanges

WebhookId = Annotated[UUID, Field(examples=["f3a1c9d4-52c7-4d1b-a8a0-6f0f2d7c9b11"])]
Url = Annotated[
    str,
    TOKEN,
    Field(
        description="Where to send messages: https, at a public address. The operator may list internal receivers.",
        examples=["https://hooks.example.com/vultus"],
    ),
]
Description = Annotated[
    str,
    StringConstraints(max_length=200),
    PRINTABLE,
    Field(description="What the webhook is for.", examples=["directory sync"]),
]
Types = Annotated[
    list[EventType],
    Field(max_length=50, description="The events to send. Empty: all.", examples=[["subject.deleted"]]),
]
Collections = Annotated[
    list[CollectionName],
    Field(max_length=100, description="Send only events of these collections. Empty: all.", examples=[["default"]]),
]


class WebhookIn(RequestBody):
    """A webhook to create."""

    url: Url
    description: Description = ""
    types: Types = Field(default_factory=list)
    collections: Collections = Field(default_factory=list)


class WebhookChangesIn(RequestBody):
    """New values of a webhook; fields that are left out stay."""

    url: Url | None = None
    description: Description | None = None
    types: Types | None = None
    collections: Collections | None = None
    is_enabled: bool | None = Field(default=None, description="Whether to send anything; what waited is then sent.")

    def changes(self) -> WebhookChanges:
        return WebhookChanges(self.url, self.description, self.types, self.collections, self.is_enabled)


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    webhook_id: WebhookId
    url: str = Field(examples=["https://hooks.example.com/vultus"])
    description: str = Field(examples=["directory sync"])
    types: list[str] = Field(description="Empty: all.", examples=[["subject.deleted"]])
    collections: list[str] = Field(description="Empty: all.", examples=[["default"]])
    is_enabled: bool = Field(examples=[True])
    disabled_because: DisabledBecause | None = Field(
        description="`caller`: somebody disabled it. `gone`: the receiver answered 410. `failing`: every attempt of "
        "three days failed.",
        examples=["failing"],
    )
    failing_since: datetime | None = Field(
        description="The first failure since the last message that arrived.", examples=["2026-03-02T14:05:11Z"]
    )
    created_at: answer.CreatedAt

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookOut":
        return cls(**_describe(webhook))


class IssuedWebhookOut(WebhookOut):
    """A webhook with its secret."""

    secret: str = Field(
        description="The secret to verify messages with, by a library of Standard Webhooks. It is shown only in this "
        "response.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )

    @classmethod
    def issued(cls, issued: IssuedWebhook) -> "IssuedWebhookOut":
        return cls(**_describe(issued.webhook), secret=issued.secret)


class WebhookPage(BaseModel):
    """One page of webhooks."""

    items: list[WebhookOut]
    next_cursor: answer.NextCursor


class DeliveryOut(BaseModel):
    """An event on its way to a webhook."""

    event: EventOut
    state: DeliveryState = Field(
        description="`failed`: it was tried for three days and is not tried again.", examples=["delivered"]
    )
    attempts: int = Field(examples=[1])
    attempted_at: datetime | None = Field(description="The last attempt.", examples=["2026-03-02T14:05:12Z"])
    due_at: datetime | None = Field(description="The next attempt. Null: none.", examples=["2026-03-02T14:05:14Z"])
    status: int | None = Field(description="The status of the last response. Null: none arrived.", examples=[200])
    error: str | None = Field(
        description="Why no response arrived: `timeout`, `not_connected`, `host_unknown`, `address_not_allowed` or "
        "`protocol_error`.",
        examples=["timeout"],
    )

    @classmethod
    def of(cls, one: Delivery) -> "DeliveryOut":
        is_waiting = one.state is DeliveryState.WAITING
        return cls(
            event=EventOut.of(one.event),
            state=one.state,
            attempts=one.attempts,
            attempted_at=one.attempted_at,
            due_at=one.due_at if is_waiting else None,
            status=one.status,
            error=one.error,
        )


class DeliveryPage(BaseModel):
    """One page of deliveries, newest first."""

    items: list[DeliveryOut]
    next_cursor: answer.NextCursor


class ReplayIn(RequestBody):
    """What to send again."""

    since: Timestamp = Field(description="Send the events since this time again.", examples=["2026-03-02T00:00:00Z"])


class ReplayOut(BaseModel):
    """What is sent again."""

    events: int = Field(description="How many events are sent again.", examples=[17])


class TestOut(BaseModel):
    """What became of a test message."""

    is_delivered: bool = Field(examples=[True])
    status: int | None = Field(description="The status of the response. Null: none arrived.", examples=[200])
    error: str | None = Field(description="As in deliveries.", examples=[None])


def _describe(webhook: Webhook) -> dict[str, Any]:
    return {
        "webhook_id": webhook.id,
        "url": webhook.url,
        "description": webhook.description,
        "types": list(webhook.types),
        "collections": list(webhook.collections),
        "is_enabled": webhook.is_enabled,
        "disabled_because": webhook.disabled_because,
        "failing_since": webhook.failing_since,
        "created_at": webhook.created_at,
    }
