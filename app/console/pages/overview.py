"""Show what happened, usage against quotas, and collections."""

from fastapi import APIRouter
from starlette.responses import Response

from app.console.pages_of import PagesDep
from app.console.viewer import StateDep, ViewerDep
from app.services.paging import PageRequest

router = APIRouter(include_in_schema=False)

_RECENT = 15


@router.get("")
async def show_overview(pages: PagesDep, state: StateDep, viewer: ViewerDep) -> Response:
    tenant = await state.tenants.overview(viewer.principal.tenant_id)
    events = viewer.caller.events()
    recent = (await events.list_after(max(0, await events.last_seq() - _RECENT), _RECENT)).events
    async with viewer.caller.transaction() as services:
        collections = (await services.collections().list(PageRequest(100, None))).items
    quotas = [(quota.value, used, tenant.plan.quota(quota)) for quota, used in tenant.used.items()]
    return pages.render(
        "overview.html", viewer, plan=tenant.plan.name, quotas=quotas, events=recent[::-1], collections=collections
    )
