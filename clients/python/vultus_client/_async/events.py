"""Events: list and follow what changed; webhooks: have it sent."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from vultus_client._async.concurrency import sleep
from vultus_client._async.transport import AsyncResource
from vultus_client.calls import Call, body, path
from vultus_client.models import (
    DeliveryOut,
    EventList,
    EventOut,
    EventType,
    IssuedWebhookOut,
    ReplayOut,
    TestOut,
    WebhookOut,
)

_PAUSE_S = 1.0


class AsyncEvents(AsyncResource):
    """What changed, in order, each with a number (`seq`)."""

    async def list(
        self, after: int = 0, *, limit: int | None = None, types: Sequence[EventType] | None = None
    ) -> EventList:
        """Return the events after a number, oldest first."""
        query = {"after": after, "limit": limit, "types": types}
        return await self._send(Call[EventList]("GET", "/events", query=query))

    async def follow(
        self, after: int | None = 0, *, types: Sequence[EventType] | None = None
    ) -> AsyncIterator[EventOut]:
        """Yield every event after a number, and then each new one as it comes, without an end.

        It connects again when the stream ends or is cut off, and misses nothing. Store `seq` to continue later.
        Raises `ConnectionLost` if the server stays away for all attempts of `Retries`.
        None begins with the next event; one that comes while the first connection is lost is missed then.
        """
        while True:
            query = {"after": after, "types": types}
            async for sent in self._transport.stream(Call[Any]("GET", "/events/stream", query=query)):
                event: EventOut = json.loads(sent.data)
                after = event["seq"]
                yield event
            await sleep(_PAUSE_S)


class AsyncWebhooks(AsyncResource):
    """Your servers that events are sent to; `verify_webhook` checks the messages there."""

    async def create(
        self,
        url: str,
        *,
        description: str | None = None,
        types: Sequence[EventType] | None = None,
        collections: Sequence[str] | None = None,
    ) -> IssuedWebhookOut:
        """Have events sent to a URL. The answer has the secret, once."""
        sent = body(url=url, description=description, types=types, collections=collections)
        return await self._send(Call[IssuedWebhookOut]("POST", "/webhooks", body=sent))

    def list(self) -> AsyncIterator[WebhookOut]:
        """Yield all webhooks."""
        return self._pages(Call[WebhookOut]("GET", "/webhooks"))

    async def get(self, webhook_id: str) -> WebhookOut:
        """Return a webhook and how it does."""
        return await self._send(Call[WebhookOut]("GET", path("webhooks", webhook_id)))

    async def change(self, webhook_id: str, changes: Mapping[str, Any]) -> WebhookOut:
        """Change `url`, `description`, `types`, `collections` or `is_enabled`."""
        call = Call[WebhookOut]("PATCH", path("webhooks", webhook_id), body=dict(changes), can_repeat=True)
        return await self._send(call)

    async def delete(self, webhook_id: str) -> None:
        """End a webhook."""
        await self._send(Call[None]("DELETE", path("webhooks", webhook_id)))

    async def rotate_secret(self, webhook_id: str) -> IssuedWebhookOut:
        """Replace the secret; messages are signed with both for a while."""
        return await self._send(Call[IssuedWebhookOut]("POST", path("webhooks", webhook_id, "rotate-secret")))

    async def test(self, webhook_id: str) -> TestOut:
        """Send a message now and return what the receiver answered."""
        return await self._send(Call[TestOut]("POST", path("webhooks", webhook_id, "test"), can_repeat=True))

    def deliveries(self, webhook_id: str, *, state: str | None = None) -> AsyncIterator[DeliveryOut]:
        """Yield the messages of a webhook and what became of them."""
        return self._pages(Call[DeliveryOut]("GET", path("webhooks", webhook_id, "deliveries"), query={"state": state}))

    async def replay(self, webhook_id: str, since: datetime) -> ReplayOut:
        """Send the events since a time again."""
        return await self._send(Call[ReplayOut]("POST", path("webhooks", webhook_id, "replay"), body=body(since=since)))
