"""Show the settings of a tenant: users, keys, policy, decisions and outside services, to those who may use them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from app.console.pages.people import Cursor
from app.console.pages_of import PagesDep
from app.console.viewer import OwnerDep, StateDep, Viewer, ViewerDep
from app.errors import ObjectStoreNotFound, PermissionDenied
from app.permissions import ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Role, Scope
from app.services.paging import PageRequest

router = APIRouter(prefix="/settings", include_in_schema=False)

_PAGE = 50
SECTIONS = (
    ("account", None),
    ("users", "admin"),
    ("keys", "admin"),
    ("policy", "admin"),
    ("decisions", "admin"),
    ("stores", "admin"),
    ("webhooks", "admin"),
    ("audit", "admin"),
    ("usage", "admin"),
    ("transfer", "register"),
)
"""The pages of the settings, and the permission that each needs."""


def list_sections(viewer: Viewer) -> list[str]:
    """Return the pages that a viewer may open."""
    return [name for name, permission in SECTIONS if permission is None or viewer.may(permission)]


async def require_admin(viewer: ViewerDep) -> Viewer:
    """Return the viewer; raises `PermissionDenied` unless they are an admin."""
    if not viewer.may("admin"):
        raise PermissionDenied("These settings are for admins of your tenant.")
    return viewer


AdminDep = Annotated[Viewer, Depends(require_admin)]


@router.get("")
async def show_settings(pages: PagesDep, viewer: OwnerDep) -> Response:
    return pages.render("settings/index.html", viewer, sections=list_sections(viewer))


@router.get("/account")
async def show_account(pages: PagesDep, state: StateDep, viewer: OwnerDep) -> Response:
    """Show the own account, also to users who must set up a second factor first."""
    factor = await state.second_factors.describe(viewer.principal)
    sessions = await state.auth.list_sessions(viewer.principal)
    return pages.render(
        "settings/account.html", viewer, sections=list_sections(viewer), factor=factor, account_sessions=sessions
    )


@router.get("/users")
async def show_users(pages: PagesDep, viewer: AdminDep, cursor: Cursor = None) -> Response:
    async with viewer.caller.transaction() as services:
        users = await services.users().list(PageRequest(_PAGE, cursor))
        invitations = await services.account_links().list_invitations(PageRequest(_PAGE, None))
    roles = [role.value for role in Role if ROLE_PERMISSIONS[role] <= viewer.principal.permissions]
    return pages.render(
        "settings/users.html",
        viewer,
        sections=list_sections(viewer),
        users=users,
        invitations=invitations.items,
        roles=roles,
    )


@router.get("/keys")
async def show_keys(pages: PagesDep, viewer: AdminDep, cursor: Cursor = None) -> Response:
    async with viewer.caller.transaction() as services:
        keys = await services.keys().list_keys(PageRequest(_PAGE, cursor))
        access_keys = (await services.keys().list_access_keys(PageRequest(200, None))).items
        collections = (await services.collections().list(PageRequest(200, None))).items
    scopes = [scope.value for scope in Scope if SCOPE_PERMISSIONS[scope] <= viewer.principal.permissions]
    return pages.render(
        "settings/keys.html",
        viewer,
        sections=list_sections(viewer),
        keys=keys,
        access_keys=access_keys,
        scopes=scopes,
        collections=[one.name for one in collections],
    )


@router.get("/policy")
async def show_policy(pages: PagesDep, viewer: AdminDep) -> Response:
    async with viewer.caller.transaction() as services:
        policy = await services.policies().get()
    return pages.render("settings/policy.html", viewer, sections=list_sections(viewer), policy=policy)


@router.get("/decisions")
async def show_decisions(pages: PagesDep, viewer: AdminDep, cursor: Cursor = None) -> Response:
    async with viewer.caller.transaction() as services:
        collections = await services.collections().list(PageRequest(_PAGE, cursor))
    return pages.render("settings/decisions.html", viewer, sections=list_sections(viewer), collections=collections)


@router.get("/stores")
async def show_stores(pages: PagesDep, state: StateDep, viewer: AdminDep) -> Response:
    """Show the tenant's object store, and the options of the Rekognition protocol."""
    async with viewer.caller.transaction() as services:
        options = await services.protocol_options().get()
        try:
            store = await services.object_stores().get()
        except ObjectStoreNotFound:
            store = None
    return pages.render(
        "settings/stores.html",
        viewer,
        sections=list_sections(viewer),
        store=store,
        endpoints=state.settings.object_store_endpoints,
        options=options,
    )


@router.get("/transfer")
async def show_transfer(
    pages: PagesDep, viewer: ViewerDep, collection: Annotated[str | None, Query(max_length=255)] = None
) -> Response:
    """Show how to take a person's data out, and in again."""
    if not viewer.may("register"):
        raise PermissionDenied("Importing people needs the permission 'register'.")
    async with viewer.caller.transaction() as services:
        collections = [one.name for one in (await services.collections().list(PageRequest(200, None))).items]
    return pages.render(
        "settings/transfer.html",
        viewer,
        sections=list_sections(viewer),
        collections=collections,
        collection=collection or "default",
    )
