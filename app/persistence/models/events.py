"""Events, the webhooks that are told of them, and the deliveries."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, ForeignKeyConstraint, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.persistence.models.base import CURRENT_TRACE, TenantOwned, TenantRow

_IS_WAITING = text("state = 'waiting'")


class EventModel(TenantOwned):
    """A change that callers may be told of: ids and a time, never a name or biometrics.

    `seq` counts a tenant's events in the order of their commits. `successor` is what a renamed, moved or merged
    subject became, as `collection/subject`.
    """

    __tablename__ = "events"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        Index("ix_events_at", "tenant_id", "at"),
        Index(
            "ix_events_anonymous",
            "tenant_id",
            "collection",
            postgresql_where=text("subject IS NULL AND type = 'face.registered'"),
        ),
        Index("ix_events_successor", "tenant_id", "successor", postgresql_where=text("successor IS NOT NULL")),
        Index("ix_events_subject", "tenant_id", "collection", "subject"),
    )

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[UUID]
    at: Mapped[datetime]
    type: Mapped[str]
    collection: Mapped[str | None]
    subject: Mapped[str | None]
    successor: Mapped[str | None]
    data: Mapped[dict[str, Any]]
    traceparent: Mapped[str | None] = mapped_column(server_default=CURRENT_TRACE)


class WebhookModel(TenantRow):
    """An address that is told of events.

    - `types`, `collections`: the events that it wants; empty: all.
    - `failing_since`: the first failure since the last success; `resume_at`: nothing is sent before.
    - `is_queued`, `turn`: whether its turn, and which one, waits in the job queue or runs.
    """

    __tablename__ = "webhooks"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),)

    url: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    types: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    collections: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    disabled_because: Mapped[str | None]
    key_id: Mapped[str]
    secret_encrypted: Mapped[bytes]
    previous_key_id: Mapped[str | None]
    previous_encrypted: Mapped[bytes | None]
    previous_until: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    resume_at: Mapped[datetime] = mapped_column(server_default=func.now())
    is_queued: Mapped[bool] = mapped_column(server_default=text("false"))
    turn: Mapped[int] = mapped_column(BigInteger, server_default="0")


class WebhookDeliveryModel(TenantOwned):
    """An event on its way to a webhook; of those with one `order_key`, the earlier one is sent first.

    - `due_at`: when to send it; those that wait for an earlier one are put off.
    - `taken_until`: while it is sent, when this must have ended.
    - `waiting_since`: when it was first to be sent, or again after a replay.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "webhook_id"], ["webhooks.tenant_id", "webhooks.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "seq"], ["events.tenant_id", "events.seq"], ondelete="CASCADE"),
        Index("ix_webhook_deliveries_due", "tenant_id", "webhook_id", "due_at", "seq", postgresql_where=_IS_WAITING),
        Index(
            "ix_webhook_deliveries_order", "tenant_id", "webhook_id", "order_key", "seq", postgresql_where=_IS_WAITING
        ),
        Index("ix_webhook_deliveries_event", "tenant_id", "seq"),
    )

    webhook_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    order_key: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="waiting")
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    taken_until: Mapped[datetime | None]
    waiting_since: Mapped[datetime] = mapped_column(server_default=func.now())
    attempted_at: Mapped[datetime | None]
    status: Mapped[int | None]
    error: Mapped[str | None]
