"""Deliver events in turns: a webhook's due deliveries are sent, and what fails waits longer each time."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.domain.events import Delivery, DisabledBecause, Event, EventType
from app.errors import AppError
from app.persistence.connections.database import Database
from app.persistence.repositories.webhook_deliveries import Outcome, WebhookDeliveryRepository, find_due_webhooks
from app.persistence.repositories.webhooks import WebhookRepository
from app.services.audit.actions import AuditAction
from app.services.audit.trail import WORKER, AuditTrails
from app.services.background import log_and_continue
from app.services.webhooks.secrets import WebhookCipher
from app.services.webhooks.sending import WebhookSender, is_gone
from app.services.webhooks.slots import TurnSlots
from app.telemetry import get_logger, metrics
from app.telemetry.spans import SpanKind, continued_span

_log = get_logger(__name__)

_AT_ONCE = 16
"""Events that are sent to a webhook at the same time; each is of another subject."""
_TURN_S = 5.0
"""After that long, other webhooks are next."""
_LEASE = timedelta(seconds=60)
"""Longer than an attempt may take; a killed worker's deliveries are sent again after that."""
_FIRST_PAUSE_S = 1.0
_QUICK_PAUSE_S = 60.0
_QUICK_ATTEMPTS = 12
_MAX_PAUSE_S = 4 * 3600.0
_NO_SLOT_PAUSE = timedelta(seconds=3)
_UNREADABLE_PAUSE = timedelta(minutes=15)
_WRITES = 4
"""Outcomes that are written at the same time: requests need the process's connections, too."""
GIVE_UP_AFTER = timedelta(days=3)
"""An event is not tried again after that long, and a webhook that has failed for so long is disabled."""


@dataclass(frozen=True, slots=True)
class _Target:
    tenant_id: UUID
    webhook_id: UUID
    url: str
    secrets: tuple[str, ...]


class WebhookTurns:
    """Delivers events; one per process."""

    def __init__(
        self, database: Database, sender: WebhookSender, cipher: WebhookCipher, trails: AuditTrails, slots: TurnSlots
    ) -> None:
        self._database = database
        self._sender = sender
        self._cipher = cipher
        self._trails = trails
        self._slots = slots
        self._writes = asyncio.Semaphore(_WRITES)

    async def run(self, tenant_id: UUID, webhook_id: UUID) -> None:
        """Deliver what is due, for a few seconds; never raises, because the deliveries' rows tell what is left.

        If the webhook has no slot, `recover` requests another turn after a pause.
        """
        with self._slots.enter(tenant_id, webhook_id) as has_slot:
            if has_slot:
                await self._run(tenant_id, webhook_id)
                return
        with log_and_continue("webhook_turn_not_put_off"):
            async with self._database.transaction(tenant_id) as session:
                await WebhookDeliveryRepository(session, tenant_id).put_off_turn(webhook_id, _NO_SLOT_PAUSE)

    async def recover(self) -> int:
        """Give turns to webhooks with due deliveries; return how many. Any process may do so."""
        due = await find_due_webhooks(self._database)
        for tenant_id, webhook_id in due:
            with log_and_continue("webhook_not_recovered"):
                async with self._database.transaction(tenant_id) as session:
                    await WebhookDeliveryRepository(session, tenant_id).renew_turn(webhook_id)
        return len(due)

    async def _run(self, tenant_id: UUID, webhook_id: UUID) -> None:
        ends_at = time.monotonic() + _TURN_S
        try:
            target = await self._open(tenant_id, webhook_id)
            while target is not None and time.monotonic() < ends_at and await self._deliver(target):
                pass
        except AppError as exc:
            _log.warning("webhook_turn_interrupted", code=exc.code)
        except Exception as exc:  # noqa: BLE001 - an error of ours must not lose the deliveries
            _log.error("webhook_turn_interrupted", error=type(exc).__name__)
        with log_and_continue("webhook_turn_not_ended"):  # `recover` does it later
            async with self._database.transaction(tenant_id) as session:
                await WebhookDeliveryRepository(session, tenant_id).end_turn(webhook_id)

    async def _open(self, tenant_id: UUID, webhook_id: UUID) -> _Target | None:
        async with self._database.transaction(tenant_id) as session:
            url = await WebhookDeliveryRepository(session, tenant_id).begin_turn(webhook_id)
            secrets = await WebhookRepository(session, tenant_id).read_secrets(webhook_id)
        if url is None or secrets is None:
            return None
        opened = self._cipher.decrypt(webhook_id, secrets)
        if opened:
            return _Target(tenant_id, webhook_id, url, opened)
        _log.error("webhook_secret_unreadable")
        async with self._database.transaction(tenant_id) as session:
            rows = WebhookDeliveryRepository(session, tenant_id)
            await rows.note_health(webhook_id, is_delivered=False, resume_after=_UNREADABLE_PAUSE)
        return None

    async def _deliver(self, target: _Target) -> bool:
        """Send some due deliveries; return whether all arrived and others may be due."""
        async with self._database.transaction(target.tenant_id) as session:
            rows = WebhookDeliveryRepository(session, target.tenant_id)
            taken = await rows.take(target.webhook_id, _LEASE, _AT_ONCE)
        if not taken:
            return False
        outcomes = await asyncio.gather(*(self._attempt(target, one) for one in taken))
        await self._note_health(target, outcomes)
        return all(one.is_delivered for one in outcomes)

    async def _attempt(self, target: _Target, delivery: Delivery) -> Outcome:
        with continued_span("webhook delivery", SpanKind.CLIENT, delivery.event.traceparent) as span:
            began_at = time.monotonic()
            outcome = await self._sender.send(target.url, target.secrets, delivery.event)
            seconds = time.monotonic() - began_at
            result = "delivered" if outcome.is_delivered else outcome.error or "refused"
            if span is not None:
                span.set("vultus.outcome", result)
        self._slots.note_time(target.webhook_id, seconds)
        metrics.observe_webhook(result, seconds)
        async with self._writes, self._database.transaction(target.tenant_id) as session:
            rows = WebhookDeliveryRepository(session, target.tenant_id)
            await rows.end(
                target.webhook_id, delivery, outcome, pause=_pause(delivery.attempts), give_up_after=GIVE_UP_AFTER
            )
        return outcome

    async def _note_health(self, target: _Target, outcomes: Sequence[Outcome]) -> None:
        asked = [one.retry_after for one in outcomes if one.retry_after is not None]
        async with self._database.transaction(target.tenant_id) as session:
            failing_since = await WebhookDeliveryRepository(session, target.tenant_id).note_health(
                target.webhook_id,
                is_delivered=any(one.is_delivered for one in outcomes),
                resume_after=max(asked, default=None),
            )
        if any(is_gone(one) for one in outcomes):
            await self._disable(target, DisabledBecause.GONE)
        elif failing_since is not None and datetime.now(UTC) - failing_since > GIVE_UP_AFTER:
            await self._disable(target, DisabledBecause.FAILING)

    async def _disable(self, target: _Target, because: DisabledBecause) -> None:
        async with self._database.transaction(target.tenant_id) as session:
            trail = self._trails.open(session, target.tenant_id, WORKER)
            await trail.lock()
            if not await WebhookRepository(session, target.tenant_id).disable(target.webhook_id, because):
                return
            ids = {"webhook_id": str(target.webhook_id), "because": because.value}
            await trail.record(
                AuditAction.WEBHOOK_DISABLED,
                f"webhook:{target.webhook_id}",
                events=[Event(EventType.WEBHOOK_DISABLED, ids=ids)],
                because=because.value,
            )
        _log.warning("webhook_disabled", because=because.value)


def _pause(attempts: int) -> timedelta:
    """Return the pause after a failed attempt: twice as long each time, and never the same for many.

    It stays at a minute for a while: a receiver that fails now and then gets everything within minutes.
    """
    quick = min(_FIRST_PAUSE_S * 2 ** min(attempts - 1, 20), _QUICK_PAUSE_S)
    pause_s = min(quick * 2 ** min(max(0, attempts - _QUICK_ATTEMPTS), 20), _MAX_PAUSE_S)
    return timedelta(seconds=pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries, protects nothing
