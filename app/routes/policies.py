"""Serve the tenant's privacy policy: consent and retention."""

from app.routes import API
from app.routes.deps.callers import CanAdmin, CanRead
from app.routes.deps.services import ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.policies import PolicyBody

router = strict_router(prefix=f"{API}/policy", tags=["privacy"], responses=AUTHENTICATED)


@router.get("", summary="Get your privacy policy")
async def get_policy(_: CanRead, services: ServicesDep) -> PolicyBody:
    """Returns whether storing a face requires consent, and after how many days subjects are erased."""
    return PolicyBody.of(await services.policies().get())


@router.put("", summary="Replace your privacy policy", responses=problems(422))
async def set_policy(_: CanAdmin, body: PolicyBody, services: ServicesDep) -> PolicyBody:
    """Replaces the whole policy. Rules that you omit are turned off."""
    return PolicyBody.of(await services.policies().set(body.policy()))
