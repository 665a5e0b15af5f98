"""Serve what people do with their own account: links, sessions, and second factors."""

from app.errors import LinkNotFound, SecondFactorExists, SecondFactorMissing, SessionNotFound
from app.routes import API
from app.routes.deps.callers import AUTHENTICATED, LIMITED_BY_ADDRESS, AddressDep, PrincipalDep, StateDep
from app.routes.responses import problems
from app.routes.strict_route import strict_router
from app.schemas.accounts import (
    CodeIn,
    EnrollIn,
    EnrollmentOut,
    ForgottenIn,
    LinkIn,
    LinkOut,
    LinkPasswordIn,
    RecoveryCodesOut,
    SecondFactorOut,
    SecondFactorProofIn,
    SessionList,
    SessionOut,
)
from app.schemas.fields import Id
from app.schemas.tenants import UserOut

router = strict_router(prefix=f"{API}/auth", tags=["auth"])
_OWN = [AUTHENTICATED, LIMITED_BY_ADDRESS]  # in this order: bad tokens are counted apart


@router.post(
    "/link",
    summary="See what a link is for",
    responses=problems(LinkNotFound, 422, 429),
    dependencies=[LIMITED_BY_ADDRESS],
)
async def show_link(body: LinkIn, state: StateDep) -> LinkOut:
    """Of an invitation, or of the reset of a password. Does not use the link up."""
    return LinkOut.of(await state.account_doors.show(body.token))


@router.post(
    "/invitation",
    status_code=201,
    summary="Accept an invitation",
    responses=problems(403, LinkNotFound, 409, 422, 429),
    dependencies=[LIMITED_BY_ADDRESS],
)
async def accept_invitation(body: LinkPasswordIn, state: StateDep) -> UserOut:
    """Adds the invited user, who logs in with this password. The link works once."""
    return UserOut.of(await state.account_doors.accept_invitation(body.token, body.password))


@router.post(
    "/reset",
    status_code=204,
    summary="Choose a new password by a link",
    responses=problems(LinkNotFound, 422, 429),
    dependencies=[LIMITED_BY_ADDRESS],
)
async def reset_password(body: LinkPasswordIn, state: StateDep) -> None:
    """Ends all sessions of the user. The link works once; a second factor stays."""
    await state.account_doors.reset_password(body.token, body.password)


@router.post(
    "/forgot",
    status_code=202,
    summary="Ask for a link to choose a new password",
    responses=problems(422, 429, 503),
    dependencies=[LIMITED_BY_ADDRESS],
)
async def forget_password(body: ForgottenIn, state: StateDep) -> None:
    """Mails a link that is valid for one hour, if there is an account with this email. The response does not tell. At
    most three mails an hour are sent to an account. 422 `mail_not_configured` if the server sends no mails."""
    state.account_doors.forget(body.email)


@router.get("/sessions", summary="List your sessions, newest first", responses=problems(401, 429), dependencies=_OWN)
async def list_sessions(principal: PrincipalDep, state: StateDep) -> SessionList:
    """Returns the sessions that are neither ended nor expired. API keys have none."""
    found = await state.auth.list_sessions(principal)
    return SessionList(items=[SessionOut.of(one, principal.session_id) for one in found])


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    summary="End one of your sessions",
    responses=problems(401, SessionNotFound, 429),
    dependencies=_OWN,
)
async def end_session(principal: PrincipalDep, session_id: Id, state: StateDep) -> None:
    """The session's tokens become invalid immediately."""
    await state.auth.end_session(principal, session_id)


@router.get("/second-factor", summary="Get your second factor", responses=problems(401, 429), dependencies=_OWN)
async def get_second_factor(principal: PrincipalDep, state: StateDep) -> SecondFactorOut:
    """Returns whether you have one, how many recovery codes are left, and whether your tenant demands one."""
    return SecondFactorOut.of(await state.second_factors.describe(principal))


@router.post(
    "/second-factor",
    status_code=201,
    summary="Begin to set up a second factor",
    responses=problems(401, SecondFactorExists, 422, 429),
    dependencies=_OWN,
)
async def begin_second_factor(
    body: EnrollIn, principal: PrincipalDep, state: StateDep, address: AddressDep
) -> EnrollmentOut:
    """Requires the current password. The secret counts once you confirm it with a code."""
    return EnrollmentOut.of(await state.second_factors.begin(principal, body.password, address))


@router.post(
    "/second-factor/confirm",
    summary="Turn your second factor on",
    responses=problems(401, SecondFactorMissing, 422, 429),
    dependencies=_OWN,
)
async def confirm_second_factor(body: CodeIn, principal: PrincipalDep, state: StateDep) -> RecoveryCodesOut:
    """From then on, logging in needs a code. Ends your other sessions. Keep the recovery codes safe."""
    return RecoveryCodesOut(recovery_codes=await state.second_factors.confirm(principal, body.code))


@router.post(
    "/second-factor/recovery-codes",
    summary="Replace your recovery codes",
    responses=problems(401, SecondFactorMissing, 422, 429),
    dependencies=_OWN,
)
async def replace_recovery_codes(
    body: SecondFactorProofIn, principal: PrincipalDep, state: StateDep, address: AddressDep
) -> RecoveryCodesOut:
    """The earlier ones stop working."""
    codes = await state.second_factors.replace_recovery_codes(principal, body.password, body.code, address)
    return RecoveryCodesOut(recovery_codes=codes)


@router.post(
    "/second-factor/remove",
    status_code=204,
    summary="Remove your second factor",
    responses=problems(401, SecondFactorMissing, 422, 429),
    dependencies=_OWN,
)
async def remove_second_factor(
    body: SecondFactorProofIn, principal: PrincipalDep, state: StateDep, address: AddressDep
) -> None:
    """Requires the current password and a code. Where the tenant demands a second factor, set up another one next."""
    await state.second_factors.remove(principal, body.password, body.code, address)
