"""The users of the caller's tenant."""

from uuid import UUID

from fastapi import APIRouter

from app.routes import API
from app.routes.deps import CanAdmin, HasherDep, UsersDep
from app.routes.responses import AUTHENTICATED, problems
from app.schemas.tenants import RoleIn, UserIn, UserList, UserOut

router = APIRouter(prefix=f"{API}/users", tags=["users"], responses=AUTHENTICATED)


@router.post("", status_code=201, summary="Add a user", responses=problems(409, 422))
async def add_user(_: CanAdmin, body: UserIn, hasher: HasherDep, users: UsersDep) -> UserOut:
    return UserOut.of(await users.add(body.email, await hasher.hash(body.password), body.role))


@router.get("", summary="List users, oldest first")
async def list_users(_: CanAdmin, users: UsersDep) -> UserList:
    return UserList(items=[UserOut.of(user) for user in await users.list()])


@router.get("/{user_id}", summary="Read a user", responses=problems(404))
async def get_user(_: CanAdmin, user_id: UUID, users: UsersDep) -> UserOut:
    return UserOut.of(await users.get(user_id))


@router.patch("/{user_id}", summary="Give a user another role", responses=problems(404, 409, 422))
async def set_role(_: CanAdmin, user_id: UUID, body: RoleIn, users: UsersDep) -> UserOut:
    return UserOut.of(await users.set_role(user_id, body.role))


@router.delete("/{user_id}", status_code=204, summary="Remove a user", responses=problems(404, 409))
async def remove_user(_: CanAdmin, user_id: UUID, users: UsersDep) -> None:
    await users.remove(user_id)
