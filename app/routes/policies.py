"""What a tenant demands of its own faces."""

from fastapi import APIRouter

from app.routes import API
from app.routes.deps.callers import CanAdmin, CanRead
from app.routes.deps.services import ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.schemas.policies import PolicyBody

router = APIRouter(prefix=f"{API}/policy", tags=["privacy"], responses=AUTHENTICATED)


@router.get("", summary="Your policy: consent and retention")
async def get_policy(_: CanRead, services: ServicesDep) -> PolicyBody:
    return PolicyBody.of(await services.policies().get())


@router.put("", summary="Set your whole policy: what is left out is off", responses=problems(422))
async def set_policy(_: CanAdmin, body: PolicyBody, services: ServicesDep) -> PolicyBody:
    return PolicyBody.of(await services.policies().set(body.policy()))
