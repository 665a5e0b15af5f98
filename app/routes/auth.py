"""Serve signup, login and logout."""

from typing import Annotated

from fastapi import Depends, Form, Request

from app.errors import TokenInvalid
from app.routes import API
from app.routes.deps.callers import (
    AUTHENTICATED,
    LIMITED_BY_ADDRESS,
    SIGNUP_ENABLED,
    AddressDep,
    PrincipalDep,
    StateDep,
    count_bad_credential,
)
from app.routes.responses import problems
from app.routes.strict_route import strict_router
from app.schemas.auth import MeOut, PasswordIn, RefreshIn, SignupIn, SignupOut, TokenForm, TokenOut
from app.server.state import state_of

router = strict_router(prefix=f"{API}/auth", tags=["auth"])


@router.post(
    "/signup",
    status_code=201,
    summary="Create a tenant and its first admin",
    responses=problems(403, 409, 422, 429),
    dependencies=[LIMITED_BY_ADDRESS, SIGNUP_ENABLED],
)
async def signup(body: SignupIn, state: StateDep) -> SignupOut:
    """Also creates the collection `default`. Log in with the same email and password. 403 if signup is disabled."""
    return SignupOut.of(await state.tenants.create(body.tenant, body.email, body.password))


@router.post(
    "/token",
    summary="Log in with email and password",
    responses=problems(401, 422, 429, 503),
    dependencies=[LIMITED_BY_ADDRESS],
)
async def token(form: Annotated[TokenForm, Form()], state: StateDep, address: AddressDep) -> TokenOut:
    """OAuth2's password flow. Returns an access token and a refresh token. 401 `second_factor_needed`: send the form
    again with the field `code`."""
    return TokenOut.of(await state.auth.sign_in(form.username, form.password, address, form.code))


async def refuse_bad_refresh_token(body: RefreshIn, request: Request) -> None:
    """Raise `TokenInvalid` or `TokenExpired`; forged tokens are counted apart from genuine ones."""
    try:
        state_of(request).auth.check_refresh_token(body.refresh_token)
    except TokenInvalid:
        await count_bad_credential(request)
        raise


@router.post(
    "/refresh",
    summary="Exchange a refresh token for new tokens",
    responses=problems(401, 422, 429),
    dependencies=[Depends(refuse_bad_refresh_token), LIMITED_BY_ADDRESS],  # in this order, as for a password
)
async def refresh(body: RefreshIn, state: StateDep) -> TokenOut:
    """Each refresh token works once. A second use of the same token ends its session."""
    return TokenOut.of(await state.auth.refresh(body.refresh_token))


@router.post("/logout", status_code=204, summary="Log out and revoke the session's tokens", responses=problems(401))
async def logout(principal: PrincipalDep, state: StateDep) -> None:
    """The session's access and refresh tokens become invalid immediately. Other sessions stay active."""
    await state.auth.sign_out(principal)


@router.post(
    "/password",
    status_code=204,
    summary="Change your password and end your other sessions",
    responses=problems(401, 422, 429),
    dependencies=[AUTHENTICATED, LIMITED_BY_ADDRESS],  # in this order: bad tokens are counted apart
)
async def change_password(body: PasswordIn, principal: PrincipalDep, state: StateDep, address: AddressDep) -> None:
    """Requires the current password, from a user: API keys have none."""
    await state.auth.change_password(principal, body.current, body.new, address)


@router.get("/me", summary="Get the current user or API key", responses=problems(401))
async def me(principal: PrincipalDep) -> MeOut:
    """Returns the caller's tenant, role, plan and permissions. Use it to check a token or a key."""
    return MeOut.of(principal)
