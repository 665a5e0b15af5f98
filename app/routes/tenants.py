"""The caller's own tenant: its plan and what it uses of it."""

from fastapi import APIRouter

from app.routes import API
from app.routes.deps.callers import CanAdmin, StateDep
from app.routes.responses import AUTHENTICATED
from app.schemas.tenants import TenantOut

router = APIRouter(prefix=f"{API}/tenant", tags=["tenant"], responses=AUTHENTICATED)


@router.get("", summary="Your plan, its rates and quotas, and what you use of them")
async def get_tenant(principal: CanAdmin, state: StateDep) -> TenantOut:
    return TenantOut.of(principal.tenant_id, await state.tenants.overview(principal.tenant_id))
