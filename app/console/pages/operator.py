"""Show the operator's pages: tenants, plans, quotas, packs, jobs and search indexes.

The operator is no user: they sign in by the operator token. Changes are plain forms, since the REST API takes the token
only (decision 0035); they call the services that `app/routes/operator.py` calls.
"""

import hmac
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from pydantic import SecretStr, ValidationError
from starlette.responses import Response

from app.console import PREFIX
from app.console.pages.people import Cursor
from app.console.pages.sign_in import LIMITED, OWN_FORM
from app.console.pages_of import PagesDep
from app.console.rendering import Pages
from app.console.texts import translate
from app.console.viewer import StateDep
from app.errors import AppError, AuthenticationFailed, Conflict, InvalidParameter, PermissionDenied, RouteNotFound
from app.permissions import Permission, Quota
from app.schemas.operator import PlanIn, PlanName, TenantIn
from app.server.operator_session import delete_operator_cookie, operator_csrf, read_operator_cookie, set_operator_cookie
from app.server.state import state_of
from app.services.maintenance.operator_overview import OperatorOverview
from app.services.paging import PageRequest
from app.services.tenancy.tenants import OperatorService

router = APIRouter(prefix="/operator", include_in_schema=False, dependencies=[LIMITED])

_HOME = f"{PREFIX}/operator"
_PAGE = 50
_MAX_PLANS = 200
Text = Annotated[str, Form(max_length=500)]


@dataclass(frozen=True, slots=True)
class Desk:
    """The operator's services, and what the forms of their pages send."""

    operator: OperatorService
    overview: OperatorOverview
    csrf: str


async def get_token(request: Request) -> SecretStr:
    """Return the configured operator token; raises `RouteNotFound` for none."""
    token = state_of(request).settings.operator_token
    if token is None:
        raise RouteNotFound
    return token


TokenDep = Annotated[SecretStr, Depends(get_token)]


async def find_desk(request: Request, token: TokenDep) -> Desk | None:
    """Return the signed-in operator's services, None if nobody is signed in."""
    state = state_of(request)
    cookie = read_operator_cookie(request, token)
    if cookie is None or state.operator is None or state.operator_overview is None:
        return None
    return Desk(state.operator, state.operator_overview, operator_csrf(state.keyring, cookie))


async def get_desk(desk: Annotated[Desk | None, Depends(find_desk)]) -> Desk:
    """Return the signed-in operator's services; raises `AuthenticationFailed`."""
    if desk is None:
        raise AuthenticationFailed
    return desk


DeskDep = Annotated[Desk, Depends(get_desk)]


async def check_form(desk: DeskDep, csrf: Text = "") -> Desk:
    """Return the operator's services for a form of our own pages; raises `PermissionDenied` for another."""
    if not hmac.compare_digest(csrf.encode(), desk.csrf.encode()):
        raise PermissionDenied("The form was not sent by a page of this session.")
    return desk


ChangeDep = Annotated[Desk, Depends(check_form)]


@router.get("")
async def show_operator(pages: PagesDep, desk: Annotated[Desk | None, Depends(find_desk)]) -> Response:
    if desk is None:
        return pages.render("operator/sign_in.html", None, error=None)
    return pages.render("operator/index.html", None, csrf=desk.csrf, found=await desk.overview.describe())


@router.post("", dependencies=[OWN_FORM])
async def sign_in(request: Request, pages: PagesDep, expected: TokenDep, token: Text = "") -> Response:
    """Sign the operator in by the operator token."""
    if not hmac.compare_digest(token.encode(), expected.get_secret_value().encode()):
        return pages.render("operator/sign_in.html", None, status=401, error=translate("operator.wrong"))
    response = pages.redirect(_HOME)
    set_operator_cookie(request, response, expected, pages.prefix + _HOME)
    return response


@router.post("/sign-out", dependencies=[OWN_FORM])
async def sign_out(request: Request, pages: PagesDep, _: ChangeDep) -> Response:
    response = pages.redirect(_HOME)
    delete_operator_cookie(request, response, pages.prefix + _HOME)
    return response


@router.get("/tenants")
async def show_tenants(pages: PagesDep, desk: DeskDep, cursor: Cursor = None) -> Response:
    return await _render_tenants(pages, desk, cursor=cursor)


@router.post("/tenants", dependencies=[OWN_FORM])
async def create_tenant(
    pages: PagesDep,
    state: StateDep,
    desk: ChangeDep,
    tenant: Text = "",
    email: Text = "",
    password: Text = "",
    plan: Text = "",
) -> Response:
    """Create a tenant with its first admin."""
    sent = {"tenant": tenant, "email": email, "password": password, "plan": plan}
    try:
        body = TenantIn.model_validate(sent)
        created = await state.tenants.create(body.tenant, body.email, body.password, body.plan)
    except (ValidationError, AppError) as exc:
        return await _render_tenants(pages, desk, error=exc, sent={**sent, "password": ""})
    return pages.redirect(f"{_HOME}/tenants/{created.tenant_id}")


@router.get("/tenants/{tenant_id}")
async def show_tenant(pages: PagesDep, desk: DeskDep, tenant_id: UUID) -> Response:
    return await _render_tenant(pages, desk, tenant_id)


@router.post("/tenants/{tenant_id}/plan", dependencies=[OWN_FORM])
async def set_plan(pages: PagesDep, desk: ChangeDep, tenant_id: UUID, plan: Text = "") -> Response:
    await desk.operator.set_plan(tenant_id, plan)
    return pages.redirect(f"{_HOME}/tenants/{tenant_id}")


@router.post("/tenants/{tenant_id}/erase", dependencies=[OWN_FORM])
async def erase_tenant(pages: PagesDep, desk: ChangeDep, tenant_id: UUID, name: Text = "") -> Response:
    """Erase a tenant with all its data, after its name was typed."""
    record = await desk.operator.get(tenant_id)
    if name.strip() != record.name:
        return await _render_tenant(pages, desk, tenant_id, error=Conflict(translate("operator.name_wrong")))
    await desk.operator.delete(tenant_id)
    return pages.redirect(f"{_HOME}/tenants")


@router.get("/plans")
async def show_plans(pages: PagesDep, desk: DeskDep) -> Response:
    return await _render_plans(pages, desk)


@router.post("/plans", dependencies=[OWN_FORM])
async def save_plan(request: Request, pages: PagesDep, desk: ChangeDep, name: Text = "") -> Response:
    """Create or replace a plan; the form has a field for each rate and each quota."""
    form = await request.form()
    sent = {key: str(value).strip() for key, value in form.items()}
    try:
        plan = _PlanForm.model_validate(
            {
                "name": name.strip(),
                "rates": {one: sent[f"rate-{one}"] for one in Permission if sent.get(f"rate-{one}")},
                "quotas": {one: sent[f"quota-{one}"] for one in Quota if sent.get(f"quota-{one}")},
            }
        )
    except ValidationError as exc:
        return await _render_plans(pages, desk, error=exc)
    await desk.operator.save_plan(PlanIn(rates=plan.rates, quotas=plan.quotas).plan(plan.name))
    return pages.redirect(f"{_HOME}/plans")


class _PlanForm(PlanIn):
    name: PlanName


async def _render_tenants(
    pages: Pages,
    desk: Desk,
    *,
    cursor: str | None = None,
    error: Exception | None = None,
    sent: dict[str, str] | None = None,
) -> Response:
    tenants = await desk.operator.list_tenants(PageRequest(_PAGE, cursor))
    return pages.render(
        "operator/tenants.html",
        None,
        status=_status(error),
        csrf=desk.csrf,
        tenants=tenants,
        plans=await _list_plans(desk),
        error=_explain(error),
        sent=sent or {},
    )


async def _render_tenant(pages: Pages, desk: Desk, tenant_id: UUID, error: Exception | None = None) -> Response:
    record = await desk.operator.get(tenant_id)
    found = await desk.overview.describe_tenant(tenant_id)
    quotas = [(quota.value, used, found.plan.quota(quota)) for quota, used in found.used.items()]
    return pages.render(
        "operator/tenant.html",
        None,
        status=_status(error),
        csrf=desk.csrf,
        record=record,
        quotas=quotas,
        rates=found.plan.all_rates(),
        plans=await _list_plans(desk),
        error=_explain(error),
    )


async def _render_plans(pages: Pages, desk: Desk, error: Exception | None = None) -> Response:
    plans = (await desk.operator.list_plans(PageRequest(_MAX_PLANS, None))).items
    return pages.render(
        "operator/plans.html",
        None,
        status=_status(error),
        csrf=desk.csrf,
        plans=plans,
        permissions=[one.value for one in Permission],
        quotas=[one.value for one in Quota],
        error=_explain(error),
    )


async def _list_plans(desk: Desk) -> list[str]:
    return [plan.name for plan in (await desk.operator.list_plans(PageRequest(_MAX_PLANS, None))).items]


def _status(error: Exception | None) -> int:
    if error is None:
        return 200
    return error.status if isinstance(error, AppError) else InvalidParameter.status


def _explain(error: Exception | None) -> str | None:
    """Say what was wrong with a form, by field."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
    return error.detail if isinstance(error, AppError) else None
