"""Serve invitations, and links by which users choose a new password."""

from uuid import UUID

from fastapi import BackgroundTasks

from app.errors import InvitationNotFound, UserNotFound
from app.routes import API
from app.routes.deps.callers import CanAdmin, StateDep
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.accounts import InvitationIn, InvitationOut, InvitationPage, IssuedInvitationOut, ResetLinkOut
from app.schemas.fields import Id
from app.services.access.account_links import IssuedInvitation
from app.wiring.process import AppState

router = strict_router(prefix=API, tags=["users"], responses=AUTHENTICATED)


@router.post("/invitations", status_code=201, summary="Invite a user", responses=problems(409, 422))
async def invite_user(
    principal: CanAdmin, body: InvitationIn, state: StateDep, services: ServicesDep, background: BackgroundTasks
) -> IssuedInvitationOut:
    """The link is valid for 7 days and works once. It is mailed too, if the server sends mails. Earlier invitations of
    the same email end. 403 for a role with more permissions than yours."""
    issued = await services.account_links().invite(body.email, body.role)
    if state.link_mails.is_configured:
        background.add_task(_mail_invitation, state, principal.tenant_id, issued)  # runs after the commit
    link = state.link_mails.link_to_invitation(issued.token)
    return IssuedInvitationOut.issued(issued, link, is_mailed=state.link_mails.is_configured)


async def _mail_invitation(state: AppState, tenant_id: UUID, issued: IssuedInvitation) -> None:
    tenant = await state.tenants.overview(tenant_id)
    state.link_mails.send_invitation(issued.invitation.email, tenant.name, issued.token)


@router.get("/invitations", summary="List invitations, oldest first", responses=problems(422))
async def list_invitations(_: CanAdmin, page: PageDep, services: ServicesDep) -> InvitationPage:
    """Returns a page of invitations that can be accepted, without their links."""
    found = await services.account_links().list_invitations(page)
    return InvitationPage(items=[InvitationOut.of(one) for one in found.items], next_cursor=found.next_cursor)


@router.delete(
    "/invitations/{invitation_id}",
    status_code=204,
    summary="Revoke an invitation",
    responses=problems(InvitationNotFound),
)
async def revoke_invitation(_: CanAdmin, invitation_id: Id, services: ServicesDep) -> None:
    """Takes effect at once: the link cannot be used anymore."""
    await services.account_links().revoke_invitation(invitation_id)


@router.post(
    "/users/{user_id}/reset-link",
    status_code=201,
    summary="Create a link to choose a new password",
    responses=problems(UserNotFound),
)
async def create_reset_link(_: CanAdmin, user_id: Id, state: StateDep, services: ServicesDep) -> ResetLinkOut:
    """The link is valid for one hour and works once. Give it to the user. 403 for a user with more permissions than
    yours. A second factor stays: to remove a lost one, use `DELETE /users/{user_id}/second-factor`."""
    issued = await services.account_links().issue_reset(await services.users().get(user_id))
    return ResetLinkOut.issued(issued, state.link_mails.link_to_reset(issued.token))


@router.delete(
    "/users/{user_id}/second-factor",
    status_code=204,
    summary="Remove a user's second factor",
    responses=problems(UserNotFound, 409),
)
async def remove_second_factor_of(_: CanAdmin, user_id: Id, services: ServicesDep) -> None:
    """For users who lost their authenticator app and recovery codes. Ends their sessions. 403 for a user with more
    permissions than yours."""
    await services.users().remove_second_factor(user_id)
