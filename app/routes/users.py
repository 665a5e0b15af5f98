"""Serve the users of the caller's tenant."""

from app.errors import UserNotFound
from app.routes import API
from app.routes.deps.callers import CanAdmin, StateDep
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.fields import Id
from app.schemas.tenants import RoleIn, UserIn, UserOut, UserPage

router = strict_router(prefix=f"{API}/users", tags=["users"], responses=AUTHENTICATED)


@router.post("", status_code=201, summary="Add a user", responses=problems(409, 422))
async def add_user(_: CanAdmin, body: UserIn, state: StateDep, services: ServicesDep) -> UserOut:
    """The user logs in with this email and password. 403 for a role with more permissions than yours."""
    return UserOut.of(await services.users().add(body.email, await state.hasher.hash(body.password), body.role))


@router.get("", summary="List users, oldest first", responses=problems(422))
async def list_users(_: CanAdmin, page: PageDep, services: ServicesDep) -> UserPage:
    """Returns a page of users with their roles."""
    found = await services.users().list(page)
    return UserPage(items=[UserOut.of(user) for user in found.items], next_cursor=found.next_cursor)


@router.get("/{user_id}", summary="Get a user", responses=problems(UserNotFound))
async def get_user(_: CanAdmin, user_id: Id, services: ServicesDep) -> UserOut:
    """Returns the user's email, role and time of creation."""
    return UserOut.of(await services.users().get(user_id))


@router.patch("/{user_id}", summary="Change a user's role", responses=problems(UserNotFound, 409, 422))
async def set_role(_: CanAdmin, user_id: Id, body: RoleIn, services: ServicesDep) -> UserOut:
    """Takes effect with the user's next request. 409 for the only admin."""
    return UserOut.of(await services.users().set_role(user_id, body.role))


@router.delete("/{user_id}", status_code=204, summary="Remove a user", responses=problems(UserNotFound, 409))
async def remove_user(_: CanAdmin, user_id: Id, services: ServicesDep) -> None:
    """Ends the user's sessions. 409 for the only admin."""
    await services.users().remove(user_id)
