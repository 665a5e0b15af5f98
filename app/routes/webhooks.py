"""Serve webhooks: addresses that are told of events."""

from typing import Annotated

from fastapi import Query

from app.domain.events import DeliveryState
from app.errors import TooManyWebhooks, WebhookNotFound, WebhookUrlNotAllowed
from app.routes import API
from app.routes.deps.callers import CanAdmin
from app.routes.deps.services import CallerDep, PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.fields import Id
from app.schemas.webhooks import (
    DeliveryOut,
    DeliveryPage,
    IssuedWebhookOut,
    ReplayIn,
    ReplayOut,
    TestOut,
    WebhookChangesIn,
    WebhookIn,
    WebhookOut,
    WebhookPage,
)

router = strict_router(prefix=API + "/webhooks", tags=["webhooks"], responses=AUTHENTICATED)
_NOT_FOUND = problems(WebhookNotFound)


@router.post("", status_code=201, summary="Create a webhook", responses=problems(TooManyWebhooks, WebhookUrlNotAllowed))
async def create_webhook(_: CanAdmin, body: WebhookIn, services: ServicesDep) -> IssuedWebhookOut:
    """Messages follow Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`. Failed ones are
    repeated for three days, after growing pauses. The secret is shown only in this response."""
    issued = await services.webhooks().create(
        body.url, description=body.description, types=body.types, collections=body.collections
    )
    return IssuedWebhookOut.issued(issued)


@router.get("", summary="List webhooks, oldest first", responses=problems(422))
async def list_webhooks(_: CanAdmin, page: PageDep, services: ServicesDep) -> WebhookPage:
    """Returns a page of webhooks and their health, without secrets."""
    found = await services.webhooks().list(page)
    return WebhookPage(items=[WebhookOut.of(one) for one in found.items], next_cursor=found.next_cursor)


@router.get("/{webhook_id}", summary="Get a webhook", responses=_NOT_FOUND)
async def get_webhook(_: CanAdmin, webhook_id: Id, services: ServicesDep) -> WebhookOut:
    """Returns the webhook and its health, without the secret."""
    return WebhookOut.of(await services.webhooks().get(webhook_id))


@router.patch("/{webhook_id}", summary="Change a webhook", responses=problems(WebhookNotFound, WebhookUrlNotAllowed))
async def change_webhook(_: CanAdmin, webhook_id: Id, body: WebhookChangesIn, services: ServicesDep) -> WebhookOut:
    """Changes the fields that are sent. A webhook that is enabled again is sent what waited."""
    return WebhookOut.of(await services.webhooks().change(webhook_id, body.changes()))


@router.delete("/{webhook_id}", status_code=204, summary="Delete a webhook", responses=_NOT_FOUND)
async def delete_webhook(_: CanAdmin, webhook_id: Id, services: ServicesDep) -> None:
    """Deletes the webhook and the deliveries that wait for it."""
    await services.webhooks().delete(webhook_id)


@router.post("/{webhook_id}/rotate-secret", summary="Replace a webhook's secret", responses=_NOT_FOUND)
async def rotate_webhook_secret(_: CanAdmin, webhook_id: Id, services: ServicesDep) -> IssuedWebhookOut:
    """For 24 hours, messages are signed with both secrets. The new one is shown only in this response."""
    return IssuedWebhookOut.issued(await services.webhooks().rotate_secret(webhook_id))


@router.post("/{webhook_id}/test", summary="Send a test message", responses=_NOT_FOUND)
async def send_test_message(_: CanAdmin, webhook_id: Id, caller: CallerDep) -> TestOut:
    """Sends an event of the type `webhook.test` at once, and returns what the receiver answered."""
    outcome = await caller.webhook_tester().test(webhook_id)
    return TestOut(is_delivered=outcome.is_delivered, status=outcome.status, error=outcome.error)


@router.get("/{webhook_id}/deliveries", summary="List a webhook's deliveries", responses=problems(WebhookNotFound, 422))
async def list_webhook_deliveries(
    _: CanAdmin,
    webhook_id: Id,
    page: PageDep,
    services: ServicesDep,
    state: Annotated[DeliveryState | None, Query(description="Only deliveries in this state.")] = None,
) -> DeliveryPage:
    """Returns a page of deliveries with their last attempt, newest first. They are deleted with their events."""
    found = await services.webhooks().list_deliveries(webhook_id, page, state)
    return DeliveryPage(items=[DeliveryOut.of(one) for one in found.items], next_cursor=found.next_cursor)


@router.post("/{webhook_id}/replay", summary="Send events again", responses=problems(WebhookNotFound, 422))
async def replay_webhook(_: CanAdmin, webhook_id: Id, body: ReplayIn, caller: CallerDep) -> ReplayOut:
    """Sends all events since a time again, also those that arrived. Receivers know them by `webhook-id`."""
    return ReplayOut(events=await caller.webhook_replayer().replay(webhook_id, body.since))
