"""Deliveries of events to webhooks: taken in turns under a lease, sent, and delivered, retried or given up.

Of the events about one subject, a later one is taken only when the earlier ones have ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, exists, extract, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.domain.events import Delivery, DeliveryState
from app.persistence.connections.database import Database
from app.persistence.models import EventModel, WebhookDeliveryModel, WebhookModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.events import describe_event, request_turns
from app.persistence.repositories.webhooks import WebhookRepository

_SLOW_START = timedelta(minutes=1)
"""A webhook that has failed for longer is sent one event at a time, after growing pauses."""
_MAX_PAUSE_S = 15 * 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt: the status that was received, or the kind of error."""

    is_delivered: bool
    status: int | None = None
    error: str | None = None
    retry_after: timedelta | None = None


class WebhookDeliveryRepository(TenantRepository):
    """One tenant's deliveries."""

    async def take_turn(self, webhook_id: UUID) -> str | None:
        """Note that the webhook has no turn in the job queue anymore; return its URL, None if nothing is sent now."""
        statement = self._update(WebhookModel, WebhookModel.id == webhook_id).values(is_queued=False)
        may_send = WebhookModel.is_enabled & (WebhookModel.resume_at <= func.now())
        url: str | None = await self._session.scalar(statement.returning(case((may_send, WebhookModel.url))))
        return url

    async def take(self, webhook_id: UUID, lease: timedelta, limit: int) -> list[Delivery]:
        """Take up to `limit` due deliveries, in the order of their events; nobody else takes them during the lease."""
        one = WebhookDeliveryModel
        failing = select(WebhookModel.failing_since < func.now() - _SLOW_START).where(
            self._of_tenant(WebhookModel), WebhookModel.id == webhook_id
        )
        is_failing = await self._session.scalar(failing)
        due = (
            select(one.seq)
            .where(*self._may_be_sent(webhook_id))
            .order_by(one.seq)
            .limit(1 if is_failing else limit)
            .with_for_update(skip_locked=True, of=one)
        )
        seqs = list(await self._session.scalars(due))
        taken = self._update(one, one.webhook_id == webhook_id, one.seq.in_(seqs))
        await self._session.execute(taken.values(due_at=func.now() + lease, attempts=one.attempts + 1))
        return await self._list(webhook_id, one.seq.in_(seqs), limit=len(seqs))

    async def has_due(self, webhook_id: UUID) -> bool:
        """Return whether more deliveries may be sent now."""
        found = select(WebhookDeliveryModel.seq).where(*self._may_be_sent(webhook_id)).limit(1)
        return await self._session.scalar(found) is not None

    def _may_be_sent(self, webhook_id: UUID) -> tuple[ColumnElement[bool], ...]:
        """Whether a delivery is due, and none of an earlier event about the same subject waits."""
        one, earlier = WebhookDeliveryModel, aliased(WebhookDeliveryModel)
        is_blocked = exists().where(
            self._of_tenant(earlier),
            earlier.webhook_id == webhook_id,
            earlier.order_key == one.order_key,
            earlier.seq < one.seq,
            earlier.state == DeliveryState.WAITING.value,
        )
        is_waiting = one.state == DeliveryState.WAITING.value
        return self._of_tenant(one), one.webhook_id == webhook_id, is_waiting, one.due_at <= func.now(), ~is_blocked

    async def request_turn(self, webhook_id: UUID) -> None:
        """Add the webhook's turn to the job queue if it has none."""
        statement = self._update(WebhookModel, WebhookModel.id == webhook_id, WebhookModel.is_queued.is_(False))
        queued = statement.values(is_queued=True, turn=WebhookModel.turn + 1)
        columns = (WebhookModel.id.label("webhook_id"), WebhookModel.turn)
        rows = (await self._session.execute(queued.returning(*columns))).mappings()
        await request_turns(self._session, self._tenant_id, list(rows))

    async def end(
        self, webhook_id: UUID, delivery: Delivery, outcome: Outcome, *, pause: timedelta, give_up_after: timedelta
    ) -> datetime | None:
        """Write the outcome of an attempt; return since when every attempt at the webhook has failed, None for none.

        A failed delivery waits for `pause`, or fails for good if its event is older than `give_up_after`.
        """
        one = WebhookDeliveryModel
        is_old = func.now() - literal(delivery.event.at) > give_up_after
        failed = case((is_old, DeliveryState.FAILED.value), else_=DeliveryState.WAITING.value)
        values: dict[str, Any] = {
            "state": DeliveryState.DELIVERED.value if outcome.is_delivered else failed,
            "due_at": func.now() + (outcome.retry_after or pause),
            "attempted_at": func.now(),
            "status": outcome.status,
            "error": outcome.error,
        }
        is_it = (one.webhook_id == webhook_id) & (one.seq == delivery.event.seq)
        # Not if a replay has begun it anew, or another worker has delivered it after the lease ran out.
        is_open = one.state == DeliveryState.WAITING.value
        await self._session.execute(self._update(one, is_it, is_open).values(**values))
        return await self._note_health(webhook_id, is_delivered=outcome.is_delivered)

    async def _note_health(self, webhook_id: UUID, *, is_delivered: bool) -> datetime | None:
        statement = update(WebhookModel).where(self._of_tenant(WebhookModel), WebhookModel.id == webhook_id)
        if is_delivered:
            # The usual case writes nothing: all deliveries of a webhook would wait for this row.
            await self._session.execute(
                statement.where(WebhookModel.failing_since.is_not(None)).values(failing_since=None)
            )
            return None
        since = func.coalesce(WebhookModel.failing_since, func.now())
        fails_for = func.now() - since
        pause_s = func.least(extract("epoch", fails_for) / 4, _MAX_PAUSE_S)
        later = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, pause_s)
        resume_at = case((fails_for > _SLOW_START, later), else_=WebhookModel.resume_at)
        changed = statement.values(failing_since=since, resume_at=resume_at)
        return await self._session.scalar(changed.returning(WebhookModel.failing_since))

    async def list_page(
        self, webhook_id: UUID, *, state: DeliveryState | None, before: int | None, limit: int
    ) -> list[Delivery]:
        """List up to `limit` deliveries before an event's number, newest first."""
        conditions = [WebhookDeliveryModel.state == state.value] if state is not None else []
        if before is not None:
            conditions.append(WebhookDeliveryModel.seq < before)
        return await self._list(webhook_id, *conditions, limit=limit, newest_first=True)

    async def replay(self, webhook_id: UUID, since: datetime) -> int:
        """Send again all events since a time that the webhook wants; return how many."""
        webhook = await WebhookRepository(self._session, self._tenant_id).find(webhook_id, lock=True)
        if webhook is None:
            return 0
        wanted = [EventModel.at >= since]
        if webhook.types:
            wanted.append(EventModel.type.in_(webhook.types))
        if webhook.collections:
            wanted.append(EventModel.collection.in_(webhook.collections))
        subject = EventModel.collection + "/" + EventModel.subject
        key = func.coalesce(subject, EventModel.collection, EventModel.type)
        values = {"tenant_id": EventModel.tenant_id, "webhook_id": literal(webhook_id), "seq": EventModel.seq}
        chosen = select(*values.values(), key).where(self._of_tenant(EventModel), *wanted)
        added = insert(WebhookDeliveryModel).from_select([*values, "order_key"], chosen)
        again = {"state": DeliveryState.WAITING.value, "attempts": 0, "due_at": func.now(), "error": None}
        upserted = added.on_conflict_do_update(index_elements=["tenant_id", "webhook_id", "seq"], set_=again)
        rows = await self._session.scalars(upserted.returning(WebhookDeliveryModel.seq))
        return len(rows.all())

    async def _list(self, webhook_id: UUID, *conditions: Any, limit: int, newest_first: bool = False) -> list[Delivery]:
        one = WebhookDeliveryModel
        of_event = (EventModel.seq == one.seq) & self._of_tenant(EventModel)
        order = one.seq.desc() if newest_first else one.seq
        rows = await self._session.execute(
            select(one, EventModel)
            .join(EventModel, of_event)
            .where(self._of_tenant(one), one.webhook_id == webhook_id, *conditions)
            .order_by(order)
            .limit(limit)
            .execution_options(populate_existing=True)
        )
        return [_describe(delivery, event) for delivery, event in rows]


def _describe(row: WebhookDeliveryModel, event: EventModel) -> Delivery:
    return Delivery(
        describe_event(event),
        DeliveryState(row.state),
        row.attempts,
        row.due_at,
        row.attempted_at,
        row.status,
        row.error,
    )


async def find_due_webhooks(database: Database) -> Sequence[tuple[UUID, UUID]]:
    """Find webhooks, by tenant and id, with deliveries that are due and without a turn in the job queue."""
    async with database.transaction() as session:
        rows = await session.execute(text("SELECT tenant_id, webhook_id FROM vultus_due_webhooks()"))
        return [(row.tenant_id, row.webhook_id) for row in rows]
