"""Create, change, test and replay the webhooks of the caller's tenant."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from app.domain.events import Delivery, DeliveryState, DisabledBecause, EventType, StoredEvent, Webhook
from app.errors import NotReady, TooManyWebhooks, WebhookNotFound
from app.persistence.repositories.webhook_deliveries import Outcome, WebhookDeliveryRepository
from app.persistence.repositories.webhooks import WebhookRepository, WebhookSecrets
from app.security.cursors import CursorSigner, read_created, read_number, write_created
from app.security.webhook_signatures import generate_secret
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.paging import Page, PageRequest, cut_page
from app.services.webhooks.secrets import WebhookCipher
from app.services.webhooks.sending import WebhookHosts, WebhookSender

MAX_WEBHOOKS = 20
"""Per tenant."""
_REPLAYED_AT_ONCE = 2000
OVERLAP = timedelta(hours=24)
"""How long the previous secret signs as well after a rotation."""


@dataclass(frozen=True, slots=True)
class WebhookChanges:
    """New values of a webhook; None leaves a value alone."""

    url: str | None = None
    description: str | None = None
    types: Sequence[EventType] | None = None
    collections: Sequence[str] | None = None
    is_enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class IssuedWebhook:
    """A webhook with its secret, which is shown only once."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReplayedPart:
    """How many events are sent again, the last one looked at, and the last one to look at."""

    count: int
    looked_at: int
    through: int


class WebhookService:
    """The webhooks of one tenant, within one transaction."""

    def __init__(
        self,
        webhooks: WebhookRepository,
        deliveries: WebhookDeliveryRepository,
        hosts: WebhookHosts,
        cipher: WebhookCipher,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._hosts = hosts
        self._cipher = cipher
        self._cursors = cursors
        self._trail = trail

    async def create(
        self, url: str, *, description: str, types: Sequence[EventType], collections: Sequence[str]
    ) -> IssuedWebhook:
        """Create a webhook; raises `WebhookUrlNotAllowed` or `TooManyWebhooks`."""
        self._hosts.check(url)
        if await self._webhooks.count() >= MAX_WEBHOOKS:
            raise TooManyWebhooks(f"Your tenant has {MAX_WEBHOOKS} webhooks, the maximum. Delete one first.")
        webhook_id, secret = uuid4(), generate_secret()
        webhook = await self._webhooks.add(
            webhook_id,
            secret=self._cipher.encrypt(webhook_id, secret),
            url=url,
            description=description,
            types=[one.value for one in types],
            collections=collections,
        )
        await self._record(AuditAction.WEBHOOK_CREATED, webhook_id)
        return IssuedWebhook(webhook, secret)

    async def get(self, webhook_id: UUID) -> Webhook:
        """Return one webhook; raises `WebhookNotFound`."""
        return _require(await self._webhooks.find(webhook_id), webhook_id)

    async def list(self, request: PageRequest) -> Page[Webhook]:
        """List one page of webhooks, oldest first."""
        scope = f"{self._webhooks.tenant_id}/webhooks"
        after = self._cursors.open(scope, request.cursor, read_created) if request.cursor else None
        found = await self._webhooks.list_page(after, request.limit + 1)
        sign = self._cursors.sign
        return cut_page(found, request.limit, lambda last: sign(scope, write_created(last.created_at, last.id)))

    async def change(self, webhook_id: UUID, changes: WebhookChanges) -> Webhook:
        """Change the given values; raises `WebhookNotFound` or `WebhookUrlNotAllowed`.

        A webhook that is enabled again is sent what waited.
        """
        await self._trail.lock()
        webhook = _require(await self._webhooks.find(webhook_id), webhook_id)
        values: dict[str, Any] = {}
        if changes.url is not None:
            self._hosts.check(changes.url)
            values["url"] = changes.url
        if changes.description is not None:
            values["description"] = changes.description
        if changes.types is not None:
            values["types"] = [one.value for one in changes.types]
        if changes.collections is not None:
            values["collections"] = list(changes.collections)
        if changes.is_enabled is not None and changes.is_enabled != webhook.is_enabled:
            because = None if changes.is_enabled else DisabledBecause.CALLER.value
            health = {"failing_since": None, "resume_at": datetime.now(UTC)} if changes.is_enabled else {}
            values |= {"is_enabled": changes.is_enabled, "disabled_because": because, **health}
        await self._webhooks.change(webhook_id, values)
        if values.get("is_enabled"):
            await self._deliveries.restart(webhook_id)
        if values:
            fields = sorted(set(values) - {"disabled_because", "failing_since", "resume_at"})
            await self._record(AuditAction.WEBHOOK_CHANGED, webhook_id, fields=fields)
        return await self.get(webhook_id)

    async def rotate_secret(self, webhook_id: UUID) -> IssuedWebhook:
        """Replace the secret; messages are signed with both for a day. Raises `WebhookNotFound`."""
        await self._trail.lock()
        webhook = _require(await self._webhooks.find(webhook_id), webhook_id)
        secret = generate_secret()
        await self._webhooks.rotate(webhook_id, self._cipher.encrypt(webhook_id, secret), datetime.now(UTC) + OVERLAP)
        await self._record(AuditAction.WEBHOOK_SECRET_ROTATED, webhook_id)
        return IssuedWebhook(webhook, secret)

    async def delete(self, webhook_id: UUID) -> None:
        """Delete a webhook and what waits for it; raises `WebhookNotFound`."""
        await self._trail.lock()
        if not await self._webhooks.delete(webhook_id):
            raise WebhookNotFound(_no_webhook(webhook_id))
        await self._record(AuditAction.WEBHOOK_DELETED, webhook_id)

    async def list_deliveries(
        self, webhook_id: UUID, request: PageRequest, state: DeliveryState | None
    ) -> Page[Delivery]:
        """List one page of a webhook's deliveries, newest first; raises `WebhookNotFound`."""
        await self.get(webhook_id)
        scope = f"{self._webhooks.tenant_id}/webhooks/{webhook_id}/deliveries/{state}"
        before = self._cursors.open(scope, request.cursor, read_number) if request.cursor else None
        found = await self._deliveries.list_page(webhook_id, state=state, before=before, limit=request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.event.seq)))

    async def replay(self, webhook_id: UUID, since: datetime, after: int, through: int | None) -> ReplayedPart:
        """Send some of the events since a time again: those after a number, through another one (None: the newest).

        Raises `WebhookNotFound`.
        """
        await self._trail.lock()
        await self.get(webhook_id)
        through = await self._trail.events.last_seq() if through is None else through
        count, looked_at = await self._deliveries.replay(webhook_id, since, after, through, _REPLAYED_AT_ONCE)
        if count:
            await self._deliveries.request_turn(webhook_id)
        return ReplayedPart(count, looked_at, through)

    async def read_secrets(self, webhook_id: UUID) -> tuple[Webhook, WebhookSecrets]:
        """Return a webhook and its encrypted secrets; raises `WebhookNotFound`."""
        webhook, secrets = await self.get(webhook_id), await self._webhooks.read_secrets(webhook_id)
        assert secrets is not None  # read above
        return webhook, secrets

    async def _record(self, action: AuditAction, webhook_id: UUID, **details: Any) -> None:
        await self._trail.record(action, f"webhook:{webhook_id}", **details)


class WebhookReplayer:
    """Sends events again, a part in each transaction: changes of the tenant wait for each part only."""

    def __init__(self, open_webhooks: Callable[[], AbstractAsyncContextManager[WebhookService]]) -> None:
        self._open_webhooks = open_webhooks

    async def replay(self, webhook_id: UUID, since: datetime) -> int:
        """Send all events since a time again; return how many. Raises `WebhookNotFound`."""
        count, after, through = 0, 0, None
        while through is None or after < through:
            async with self._open_webhooks() as webhooks:
                part = await webhooks.replay(webhook_id, since, after, through)
            count, after, through = count + part.count, part.looked_at, part.through
        return count


class WebhookTester:
    """Sends test messages, with no transaction open meanwhile."""

    def __init__(
        self,
        open_webhooks: Callable[[], AbstractAsyncContextManager[WebhookService]],
        sender: WebhookSender,
        cipher: WebhookCipher,
    ) -> None:
        self._open_webhooks = open_webhooks
        self._sender = sender
        self._cipher = cipher

    async def test(self, webhook_id: UUID) -> Outcome:
        """Send an event of the type `webhook.test`, which is stored nowhere.

        Raises `WebhookNotFound`, or `NotReady` if this server cannot read the secret.
        """
        async with self._open_webhooks() as webhooks:
            webhook, secrets = await webhooks.read_secrets(webhook_id)
        data = {"webhook_id": str(webhook_id)}
        event = StoredEvent(0, uuid4(), datetime.now(UTC), EventType.WEBHOOK_TEST.value, data)
        opened = self._cipher.decrypt(webhook_id, secrets)
        if not opened:
            raise NotReady(
                "The webhook's secret was encrypted under a secret that this server does not have. Replace it "
                f"(POST /api/v1/webhooks/{webhook_id}/rotate-secret)."
            )
        return await self._sender.send(webhook.url, opened, event)


def _require(found: Webhook | None, webhook_id: UUID) -> Webhook:
    if found is None:
        raise WebhookNotFound(_no_webhook(webhook_id))
    return found


def _no_webhook(webhook_id: UUID) -> str:
    return f"There is no webhook {webhook_id}."
