"""Deliveries of events to webhooks: taken in turns under a lease, sent, and delivered, retried or given up.

Of the events about one subject, a later one is taken only when the earlier ones have ended.

A worker waits for no lock: changes lock the audit trail first, then deliveries and webhooks, and may hold these locks
for long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, extract, func, literal, select, true
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
_MAX_PUT_OFF = timedelta(minutes=15)
"""How long a delivery waits for an earlier one at most before this is looked at again."""

_EARLIER = aliased(WebhookDeliveryModel, name="earlier")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt: the status that was received, or the kind of error."""

    is_delivered: bool
    status: int | None = None
    error: str | None = None
    retry_after: timedelta | None = None


class WebhookDeliveryRepository(TenantRepository):
    """One tenant's deliveries."""

    async def begin_turn(self, webhook_id: UUID) -> str | None:
        """Return the webhook's URL, None if nothing is sent now."""
        may_send = (WebhookModel.is_enabled, WebhookModel.resume_at <= func.now())
        chosen = select(WebhookModel.url).where(self._of_tenant(WebhookModel), WebhookModel.id == webhook_id, *may_send)
        url: str | None = await self._session.scalar(chosen)
        return url

    async def end_turn(self, webhook_id: UUID) -> None:
        """Note that the webhook has no turn anymore, or request the next one if more may be sent now."""
        if await self._lock_webhook(webhook_id):
            is_due = await self.begin_turn(webhook_id) is not None and await self._has_due(webhook_id)
            await self._change_webhook(webhook_id, is_queued=False)
            if is_due:
                await self.request_turn(webhook_id)

    async def renew_turn(self, webhook_id: UUID) -> None:
        """Request a turn in place of one that was lost."""
        if await self._lock_webhook(webhook_id):
            await self._change_webhook(webhook_id, is_queued=False)
            await self.request_turn(webhook_id)

    async def put_off_turn(self, webhook_id: UUID, pause: timedelta) -> None:
        """Send nothing during a pause, because other webhooks are next."""
        if await self._lock_webhook(webhook_id):
            resume_at = func.greatest(WebhookModel.resume_at, func.now() + pause)
            await self._change_webhook(webhook_id, is_queued=False, resume_at=resume_at)

    async def request_turn(self, webhook_id: UUID) -> None:
        """Add the webhook's turn to the job queue if it has none."""
        statement = self._update(WebhookModel, WebhookModel.id == webhook_id, WebhookModel.is_queued.is_(False))
        queued = statement.values(is_queued=True, turn=WebhookModel.turn + 1)
        columns = (WebhookModel.id.label("webhook_id"), WebhookModel.turn)
        rows = (await self._session.execute(queued.returning(*columns))).mappings()
        await request_turns(self._session, self._tenant_id, list(rows))

    async def take(self, webhook_id: UUID, lease: timedelta, limit: int) -> list[Delivery]:
        """Take up to `limit` due deliveries, each of another subject; nobody else takes them during the lease."""
        one = WebhookDeliveryModel
        failing = select(WebhookModel.failing_since < func.now() - _SLOW_START).where(
            self._of_tenant(WebhookModel), WebhookModel.id == webhook_id
        )
        if await self._session.scalar(failing):
            limit = 1
        may_be_sent = (*self._is_due(webhook_id), ~self._earlier(webhook_id).exists())
        due = select(one.seq).where(*may_be_sent).order_by(one.due_at, one.seq).limit(limit)
        seqs = list(await self._session.scalars(due.with_for_update(skip_locked=True, of=one)))
        if len(seqs) < limit:
            await self._put_off(webhook_id)
        until = func.now() + lease
        taken = self._update(one, one.webhook_id == webhook_id, one.seq.in_(seqs))
        await self._session.execute(taken.values(due_at=until, taken_until=until, attempts=one.attempts + 1))
        return await self._list(webhook_id, one.seq.in_(seqs), limit=len(seqs))

    async def _put_off(self, webhook_id: UUID) -> None:
        """Put off due deliveries that wait for an earlier one, so that they are not looked at again and again.

        The end of the earlier one makes them due at once.
        """
        one = WebhookDeliveryModel
        blocker = self._earlier(webhook_id).order_by(_EARLIER.seq).limit(1).lateral("blocker")
        blocked = (
            select(one.seq, func.least(blocker.c.due_at, func.now() + _MAX_PUT_OFF).label("until"))
            .join(blocker, true())
            .where(*self._is_due(webhook_id), blocker.c.due_at > func.now())
            .with_for_update(skip_locked=True, of=one)
            .cte()
        )
        put_off = self._update(one, one.webhook_id == webhook_id, one.seq == blocked.c.seq)
        await self._session.execute(put_off.values(due_at=blocked.c.until))

    async def _has_due(self, webhook_id: UUID) -> bool:
        may_be_sent = (*self._is_due(webhook_id), ~self._earlier(webhook_id).exists())
        found = select(WebhookDeliveryModel.seq).where(*may_be_sent).limit(1)
        return await self._session.scalar(found) is not None

    def _is_due(self, webhook_id: UUID) -> tuple[ColumnElement[bool], ...]:
        one = WebhookDeliveryModel
        is_waiting = one.state == DeliveryState.WAITING.value
        return self._of_tenant(one), one.webhook_id == webhook_id, is_waiting, one.due_at <= func.now()

    def _earlier(self, webhook_id: UUID) -> Select[Any]:
        """Select the waiting deliveries of earlier events about the same subject."""
        one = WebhookDeliveryModel
        chosen = select(_EARLIER.due_at).where(
            self._of_tenant(_EARLIER),
            _EARLIER.webhook_id == webhook_id,
            _EARLIER.order_key == one.order_key,
            _EARLIER.seq < one.seq,
            _EARLIER.state == DeliveryState.WAITING.value,
        )
        return chosen.correlate(one)

    async def end(
        self, webhook_id: UUID, delivery: Delivery, outcome: Outcome, *, pause: timedelta, give_up_after: timedelta
    ) -> None:
        """Write the outcome of an attempt: a failed delivery waits for `pause`, or fails for good after a time.

        Nothing is written for a delivery that was replayed or taken again meanwhile.
        """
        one = WebhookDeliveryModel
        is_old = func.now() - one.waiting_since > give_up_after
        failed = case((is_old, DeliveryState.FAILED.value), else_=DeliveryState.WAITING.value)
        values: dict[str, Any] = {
            "state": DeliveryState.DELIVERED.value if outcome.is_delivered else failed,
            "due_at": func.now() + (outcome.retry_after or pause),
            "taken_until": None,
            "attempted_at": func.now(),
            "status": outcome.status,
            "error": outcome.error,
        }
        is_it = (one.webhook_id == webhook_id, one.seq == delivery.event.seq, one.due_at == delivery.due_at)
        free = select(one.seq).where(self._of_tenant(one), *is_it).with_for_update(skip_locked=True)
        ended = self._update(one, one.webhook_id == webhook_id, one.seq.in_(free)).values(**values)
        state = await self._session.scalar(ended.returning(one.state))
        if state != DeliveryState.WAITING.value:  # also None: an erasure has deleted it, and its own event waits
            await self._wake_next(webhook_id, delivery.order_key)

    async def _wake_next(self, webhook_id: UUID, order_key: str) -> None:
        """Make the subject's next delivery due."""
        one = WebhookDeliveryModel
        is_waiting = one.state == DeliveryState.WAITING.value
        waiting = select(one.seq).where(
            self._of_tenant(one), one.webhook_id == webhook_id, one.order_key == order_key, is_waiting
        )
        following = waiting.order_by(one.seq).limit(1).with_for_update(skip_locked=True)
        is_taken = one.taken_until.is_not(None) & (one.taken_until > func.now())
        woken = self._update(one, one.webhook_id == webhook_id, one.seq.in_(following), ~is_taken)
        await self._session.execute(woken.values(due_at=func.now()))

    async def note_health(
        self, webhook_id: UUID, *, is_delivered: bool, resume_after: timedelta | None = None
    ) -> datetime | None:
        """Note whether one of some attempts succeeded; return since when all have failed, None for never.

        Nothing is sent during `resume_after`, or during a growing pause if the webhook has failed for a while.
        """
        if is_delivered and resume_after is None and await self._read_failing_since(webhook_id) is None:
            return None  # the usual case locks nothing
        if not await self._lock_webhook(webhook_id):
            return None
        since = None if is_delivered else func.coalesce(WebhookModel.failing_since, func.now())
        resume_at: Any = WebhookModel.resume_at
        if not is_delivered:
            fails_for = func.now() - since
            pause_s = func.least(extract("epoch", fails_for) / 4, _MAX_PAUSE_S)
            later = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, pause_s)
            resume_at = case((fails_for > _SLOW_START, later), else_=resume_at)
        if resume_after is not None:
            resume_at = func.greatest(resume_at, func.now() + resume_after)
        await self._change_webhook(webhook_id, failing_since=since, resume_at=resume_at)
        return await self._read_failing_since(webhook_id)

    async def _read_failing_since(self, webhook_id: UUID) -> datetime | None:
        chosen = select(WebhookModel.failing_since).where(self._of_tenant(WebhookModel), WebhookModel.id == webhook_id)
        since: datetime | None = await self._session.scalar(chosen)
        return since

    async def _lock_webhook(self, webhook_id: UUID) -> bool:
        """Lock the webhook's row; return False instead of waiting for another transaction, which may take long."""
        row = select(WebhookModel.id).where(self._of_tenant(WebhookModel), WebhookModel.id == webhook_id)
        return await self._session.scalar(row.with_for_update(skip_locked=True, key_share=True)) is not None

    async def _change_webhook(self, webhook_id: UUID, **values: Any) -> None:
        await self._session.execute(self._update(WebhookModel, WebhookModel.id == webhook_id).values(**values))

    async def restart(self, webhook_id: UUID) -> None:
        """Make all that waits due now, as if it had just been written. Lock the audit trail before."""
        one = WebhookDeliveryModel
        is_waiting = one.state == DeliveryState.WAITING.value
        chosen = select(one.seq).where(self._of_tenant(one), one.webhook_id == webhook_id, is_waiting)
        seqs = chosen.order_by(one.seq).with_for_update()
        waiting = self._update(one, one.webhook_id == webhook_id, one.seq.in_(seqs))
        is_taken = one.taken_until.is_not(None) & (one.taken_until > func.now())
        due_at = case((is_taken, one.due_at), else_=func.now())
        await self._session.execute(waiting.values(due_at=due_at, waiting_since=func.now()))

    async def list_page(
        self, webhook_id: UUID, *, state: DeliveryState | None, before: int | None, limit: int
    ) -> list[Delivery]:
        """List up to `limit` deliveries before an event's number, newest first."""
        conditions = [WebhookDeliveryModel.state == state.value] if state is not None else []
        if before is not None:
            conditions.append(WebhookDeliveryModel.seq < before)
        return await self._list(webhook_id, *conditions, limit=limit, newest_first=True)

    async def replay(self, webhook_id: UUID, since: datetime, after: int, through: int, limit: int) -> tuple[int, int]:
        """Send again the wanted events since a time, of up to `limit` events after a number and through another one.

        Lock the audit trail before. Returns how many are sent again, and the number of the last event looked at.
        """
        webhook = await WebhookRepository(self._session, self._tenant_id).find(webhook_id)
        looked_at = (
            select(EventModel)
            .where(self._of_tenant(EventModel), EventModel.at >= since)
            .where(EventModel.seq > after, EventModel.seq <= through)
            .order_by(EventModel.seq)
            .limit(limit)
            .subquery()
        )
        last = await self._session.scalar(select(func.max(looked_at.c.seq)))
        if webhook is None or last is None:
            return 0, through
        event = aliased(EventModel, looked_at)
        wanted = [event.type.in_(webhook.types)] if webhook.types else []
        if webhook.collections:
            wanted.append(event.collection.in_(webhook.collections))
        key = func.coalesce(event.collection + "/" + event.subject, event.collection, event.type)
        values = {"tenant_id": event.tenant_id, "webhook_id": literal(webhook_id), "seq": event.seq}
        chosen = select(*values.values(), key).where(*wanted).order_by(event.seq)
        added = insert(WebhookDeliveryModel).from_select([*values, "order_key"], chosen)
        again = {"state": DeliveryState.WAITING.value, "attempts": 0, "error": None, "taken_until": None}
        again |= {"due_at": func.now(), "waiting_since": func.now()}
        upserted = added.on_conflict_do_update(index_elements=["tenant_id", "webhook_id", "seq"], set_=again)
        rows = await self._session.scalars(upserted.returning(WebhookDeliveryModel.seq))
        return len(rows.all()), last

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
        row.order_key,
    )


async def find_due_webhooks(database: Database) -> Sequence[tuple[UUID, UUID]]:
    """Find webhooks, by tenant and id, with deliveries that are due and without a turn in the job queue."""
    rows = await database.fetch_rows("SELECT tenant_id, webhook_id FROM vultus_due_webhooks()")
    return [(row["tenant_id"], row["webhook_id"]) for row in rows]
