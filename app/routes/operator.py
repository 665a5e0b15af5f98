"""Serve the operator's API: tenants and plans. Requests need the operator token.

The routes respond with 404 unless `VULTUS_OPERATOR_TOKEN` is set. Setting it makes the service use the operator's
database login, which sees every tenant. Without it, use the `vultus` command.
"""

from app.errors import PlanNotFound, TenantNotFound
from app.routes import API
from app.routes.deps.callers import OperatorDep, StateDep
from app.routes.deps.services import PageDep
from app.routes.responses import problems
from app.routes.strict_route import strict_router
from app.schemas.auth import SignupOut
from app.schemas.fields import Id
from app.schemas.operator import PlanIn, PlanName, PlanOut, PlanPage, SetPlanIn, TenantIn, TenantPage, TenantRecordOut

router = strict_router(prefix=f"{API}/operator", tags=["operator"], responses=problems(401, 429))


@router.post(
    "/tenants",
    status_code=201,
    summary="Create a tenant and its first admin",
    responses=problems(PlanNotFound, 409, 422),
)
async def create_tenant(_: OperatorDep, body: TenantIn, state: StateDep) -> SignupOut:
    """Works even if signup is disabled. The admin logs in with this email and password."""
    return SignupOut.of(await state.tenants.create(body.tenant, body.email, body.password, body.plan))


@router.get("/tenants", summary="List tenants, oldest first", responses=problems(422))
async def list_tenants(operator: OperatorDep, page: PageDep) -> TenantPage:
    """Returns a page of tenants with their plans and numbers of stored templates."""
    found = await operator.list_tenants(page)
    return TenantPage(items=[TenantRecordOut.of(tenant) for tenant in found.items], next_cursor=found.next_cursor)


@router.get("/tenants/{tenant_id}", summary="Get a tenant", responses=problems(TenantNotFound))
async def get_tenant(tenant_id: Id, operator: OperatorDep) -> TenantRecordOut:
    """Returns the tenant's plan and number of stored templates."""
    return TenantRecordOut.of(await operator.get(tenant_id))


@router.patch("/tenants/{tenant_id}", summary="Assign a plan to a tenant", responses=problems(TenantNotFound, 422))
async def set_plan(tenant_id: Id, body: SetPlanIn, operator: OperatorDep) -> TenantRecordOut:
    """Takes effect with the tenant's next request."""
    await operator.set_plan(tenant_id, body.plan)
    return TenantRecordOut.of(await operator.get(tenant_id))


@router.delete(
    "/tenants/{tenant_id}",
    status_code=204,
    summary="Erase a tenant with all its data",
    responses=problems(TenantNotFound),
)
async def delete_tenant(tenant_id: Id, operator: OperatorDep) -> None:
    """Erases its users, keys, collections and templates. This cannot be undone."""
    await operator.delete(tenant_id)


@router.get("/plans", summary="List plans by name", responses=problems(422))
async def list_plans(operator: OperatorDep, page: PageDep) -> PlanPage:
    """Returns a page of plans with their rate limits and quotas."""
    found = await operator.list_plans(page)
    return PlanPage(items=[PlanOut.of(plan) for plan in found.items], next_cursor=found.next_cursor)


@router.put("/plans/{name}", summary="Create or replace a plan", responses=problems(422))
async def save_plan(name: PlanName, body: PlanIn, operator: OperatorDep) -> PlanOut:
    """Takes effect with the next request of each tenant on this plan."""
    plan = body.plan(name)
    await operator.save_plan(plan)
    return PlanOut.of(plan)
