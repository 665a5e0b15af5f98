"""The person who looks at a page: the session's principal, and the services on their behalf."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.errors import AuthenticationFailed
from app.permissions import Permission, Principal
from app.server.admission import address_of, authenticate_and_admit
from app.server.console_session import csrf_token, read_cookie
from app.server.disconnects import DisconnectDep
from app.server.state import limiter_of, state_of
from app.services.access.authentication import CONSOLE_PREFIX
from app.wiring.caller import CallerServices
from app.wiring.process import AppState


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at the page, and the token that the page's changes need."""

    principal: Principal
    caller: CallerServices
    csrf: str

    def may(self, permission: str) -> bool:
        """Return whether the viewer has a permission, so that no page offers what would be refused."""
        return self.principal.may(Permission(permission))


async def get_viewer(request: Request, disconnect: DisconnectDep) -> Viewer:
    """Return the viewer, within the plan's rate for reading; raises `AuthenticationFailed`."""
    token = read_cookie(request)
    if token is None:
        raise AuthenticationFailed
    principal, _ = await authenticate_and_admit(request, CONSOLE_PREFIX + token, Permission.READ)
    state = state_of(request)
    return Viewer(principal, CallerServices(state, principal, disconnect), csrf_token(state.keyring, token))


ViewerDep = Annotated[Viewer, Depends(get_viewer)]


async def get_owner(request: Request, disconnect: DisconnectDep) -> Viewer:
    """Return the viewer of pages about their own account, whatever they may do; raises `AuthenticationFailed`."""
    token = read_cookie(request)
    if token is None:
        raise AuthenticationFailed
    await limiter_of(request).admit_address(address_of(request), "console")
    state = state_of(request)
    principal = await state.auth.authenticate(CONSOLE_PREFIX + token)
    return Viewer(principal, CallerServices(state, principal, disconnect), csrf_token(state.keyring, token))


OwnerDep = Annotated[Viewer, Depends(get_owner)]


async def get_state(request: Request) -> AppState:
    return state_of(request)


StateDep = Annotated[AppState, Depends(get_state)]
