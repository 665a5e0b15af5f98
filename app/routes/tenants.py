"""Serve the caller's tenant: its plan and current usage."""

from app.routes import API
from app.routes.deps.callers import CanAdmin, StateDep
from app.routes.responses import AUTHENTICATED
from app.routes.strict_route import strict_router
from app.schemas.tenants import TenantOut

router = strict_router(prefix=f"{API}/tenant", tags=["tenant"], responses=AUTHENTICATED)


@router.get("", summary="Get your tenant's plan and quota usage")
async def get_own_tenant(principal: CanAdmin, state: StateDep) -> TenantOut:
    """Returns the rate limits by permission, and each quota with its current usage."""
    return TenantOut.of(principal.tenant_id, await state.tenants.overview(principal.tenant_id))
