"""Signing up, in and out."""

from typing import Annotated

from fastapi import APIRouter, Form, Response

from app.errors import SignupDisabled
from app.permissions import ROLE_PERMISSIONS
from app.routes import API
from app.routes.deps import AuthDep, PrincipalDep, SettingsDep, TenantsDep
from app.routes.responses import problems
from app.schemas.auth import MeOut, RefreshIn, SignupIn, SignupOut, TokenForm, TokenOut

router = APIRouter(prefix=f"{API}/auth", tags=["auth"])


@router.post(
    "/signup", status_code=201, summary="Create a tenant and its first admin", responses=problems(403, 409, 422)
)
async def signup(body: SignupIn, tenants: TenantsDep, settings: SettingsDep) -> SignupOut:
    if not settings.signup_enabled:
        raise SignupDisabled
    return SignupOut.of(await tenants.create(body.tenant, body.email, body.password))


@router.post("/token", summary="Sign in (OAuth2 password form)", responses=problems(401, 422))
async def token(form: Annotated[TokenForm, Form()], auth: AuthDep, response: Response) -> TokenOut:
    response.headers["cache-control"] = "no-store"
    return TokenOut.of(await auth.sign_in(form.username, form.password))


@router.post("/refresh", summary="Trade a refresh token for new tokens", responses=problems(401, 422))
async def refresh(body: RefreshIn, auth: AuthDep, response: Response) -> TokenOut:
    response.headers["cache-control"] = "no-store"
    return TokenOut.of(await auth.refresh(body.refresh_token))


@router.post("/logout", status_code=204, summary="End this session and all its tokens", responses=problems(401))
async def logout(principal: PrincipalDep, auth: AuthDep) -> None:
    await auth.sign_out(principal)


@router.get("/me", summary="Whose token is this?", responses=problems(401))
async def me(principal: PrincipalDep) -> MeOut:
    return MeOut.of(principal, sorted(ROLE_PERMISSIONS[principal.role]))
