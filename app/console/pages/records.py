"""Show a tenant's records: the audit trail, usage by day, and webhooks with their deliveries."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.console.pages.people import Cursor
from app.console.pages.settings import AdminDep, list_sections
from app.console.pages_of import PagesDep
from app.console.viewer import Viewer
from app.domain.events import DeliveryState, EventType
from app.services.audit.actions import AuditAction
from app.services.paging import PageRequest

router = APIRouter(prefix="/settings", include_in_schema=False)

_PAGE = 50
_MAX_DAYS = 366
_DEFAULT_DAYS = 30
Filter = Annotated[str, Query(max_length=255)]


@router.get("/audit")
async def show_audit(
    pages: PagesDep,
    viewer: AdminDep,
    action: Filter = "",
    actor: Filter = "",
    since: Filter = "",
    before: Filter = "",
    cursor: Cursor = None,
) -> Response:
    """List entries of the audit trail, newest first; filters that mean nothing are ignored."""
    first, end = _read_day(since), _read_day(before)
    chosen = AuditAction(action) if action in set(AuditAction) else None
    async with viewer.caller.transaction() as services:
        found = await services.audit().list(
            PageRequest(_PAGE, cursor),
            actions=[chosen] if chosen is not None else None,
            actor=actor or None,
            since=_start_of(first),
            before=_start_of(end + timedelta(days=1)) if end is not None else None,
        )
    return pages.render(
        "settings/audit.html",
        viewer,
        sections=list_sections(viewer),
        found=found,
        names=await _name_callers(viewer),
        actions=[one.value for one in AuditAction],
        filters={"action": chosen or "", "actor": actor, "since": first or "", "before": end or ""},
    )


@router.get("/usage")
async def show_usage(
    pages: PagesDep, viewer: AdminDep, since: Filter = "", before: Filter = "", cursor: Cursor = None
) -> Response:
    """List usage by day, operation and caller, and the sum of the period."""
    today = datetime.now(UTC).date()
    last = _read_day(before) or today
    first = _read_day(since) or last - timedelta(days=_DEFAULT_DAYS - 1)
    first = min(max(first, last - timedelta(days=_MAX_DAYS - 1)), last)
    async with viewer.caller.transaction() as services:
        usage = services.usage()
        found = await usage.list_days(first, last + timedelta(days=1), PageRequest(_PAGE, cursor))
        total = await usage.sum_days(first, last + timedelta(days=1))
    return pages.render(
        "settings/usage.html",
        viewer,
        sections=list_sections(viewer),
        found=found,
        total=total,
        names=await _name_callers(viewer),
        since=first,
        before=last,
    )


@router.get("/webhooks")
async def show_webhooks(pages: PagesDep, viewer: AdminDep) -> Response:
    async with viewer.caller.transaction() as services:
        webhooks = (await services.webhooks().list(PageRequest(100, None))).items
        collections = (await services.collections().list(PageRequest(200, None))).items
    return pages.render(
        "settings/webhooks.html",
        viewer,
        sections=list_sections(viewer),
        webhooks=webhooks,
        collections=[one.name for one in collections],
        types=_list_types(),
    )


@router.get("/webhooks/{webhook_id}")
async def show_webhook(
    pages: PagesDep, viewer: AdminDep, webhook_id: UUID, state: Filter = "", cursor: Cursor = None
) -> Response:
    """Show a webhook with its deliveries, newest first."""
    chosen = DeliveryState(state) if state in set(DeliveryState) else None
    async with viewer.caller.transaction() as services:
        webhooks = services.webhooks()
        webhook = await webhooks.get(webhook_id)
        deliveries = await webhooks.list_deliveries(webhook_id, PageRequest(_PAGE, cursor), chosen)
        collections = (await services.collections().list(PageRequest(200, None))).items
    return pages.render(
        "settings/webhook.html",
        viewer,
        sections=list_sections(viewer),
        webhook=webhook,
        deliveries=deliveries,
        state=chosen.value if chosen is not None else "",
        states=[one.value for one in DeliveryState],
        collections=sorted({*(one.name for one in collections), *webhook.collections}),
        types=_list_types(),
    )


def _list_types() -> list[str]:
    return [one.value for one in EventType if one is not EventType.WEBHOOK_TEST]


def _read_day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1900 <= day.year <= 9000 else None


def _start_of(day: date | None) -> datetime | None:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) if day is not None else None


async def _name_callers(viewer: Viewer) -> dict[str, str]:
    """Return names of users and keys by what records call them; those that are gone keep their ids."""
    async with viewer.caller.transaction() as services:
        users = (await services.users().list(PageRequest(200, None))).items
        keys = (await services.keys().list_keys(PageRequest(200, None))).items
    names = {f"user:{user.id}": user.email for user in users}
    return names | {f"key:{key.id}": key.name or key.public_id for key in keys}
