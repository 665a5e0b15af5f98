"""Signing up, in and out."""

from typing import Annotated

from fastapi import APIRouter, Form

from app.errors import SignupDisabled
from app.routes import API
from app.routes.deps.callers import LIMITED_BY_ADDRESS, AddressDep, PrincipalDep, StateDep
from app.routes.responses import problems
from app.schemas.auth import MeOut, PasswordIn, RefreshIn, SignupIn, SignupOut, TokenForm, TokenOut

router = APIRouter(prefix=f"{API}/auth", tags=["auth"])


@router.post(
    "/signup",
    status_code=201,
    summary="Create a tenant and its first admin",
    responses=problems(403, 409, 422, 429),
    dependencies=[LIMITED_BY_ADDRESS],
)
async def signup(body: SignupIn, state: StateDep) -> SignupOut:
    if not state.settings.signup_enabled:
        raise SignupDisabled
    return SignupOut.of(await state.tenants.create(body.tenant, body.email, body.password))


@router.post(
    "/token",
    summary="Sign in (OAuth2 password form)",
    responses=problems(401, 422, 429, 503),
    dependencies=[LIMITED_BY_ADDRESS],
)
async def token(form: Annotated[TokenForm, Form()], state: StateDep, address: AddressDep) -> TokenOut:
    return TokenOut.of(await state.auth.sign_in(form.username, form.password, address))


@router.post(
    "/refresh",
    summary="Trade a refresh token for new tokens",
    responses=problems(401, 422, 429),
    dependencies=[LIMITED_BY_ADDRESS],
)
async def refresh(body: RefreshIn, state: StateDep) -> TokenOut:
    return TokenOut.of(await state.auth.refresh(body.refresh_token))


@router.post("/logout", status_code=204, summary="End this session and all its tokens", responses=problems(401))
async def logout(principal: PrincipalDep, state: StateDep) -> None:
    await state.auth.sign_out(principal)


@router.post(
    "/password",
    status_code=204,
    summary="Change your password and end your other sessions",
    responses=problems(401, 422, 429),
    dependencies=[LIMITED_BY_ADDRESS],
)
async def change_password(body: PasswordIn, principal: PrincipalDep, state: StateDep, address: AddressDep) -> None:
    await state.auth.change_password(principal, body.current, body.new, address)


@router.get("/me", summary="Whose token or key is this?", responses=problems(401))
async def me(principal: PrincipalDep) -> MeOut:
    return MeOut.of(principal)
