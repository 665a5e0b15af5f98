"""Serve API keys for programs, and access keys for signed requests."""

from app.errors import KeyNotFound
from app.routes import API
from app.routes.deps.callers import CanAdmin
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.fields import Id
from app.schemas.keys import AccessKeyIn, IssuedAccessKeyOut, IssuedKeyOut, KeyIn, KeyOut, KeyPage

router = strict_router(prefix=API, tags=["keys"], responses=AUTHENTICATED)


@router.post("/keys", status_code=201, summary="Create an API key", responses=problems(409, 422))
async def issue_key(principal: CanAdmin, body: KeyIn, services: ServicesDep) -> IssuedKeyOut:
    """The key is shown only in this response."""
    issued = await services.keys().issue(
        principal, name=body.name, scopes=body.scopes, collections=body.collections, expires_at=body.expires_at
    )
    return IssuedKeyOut.issued(issued)


@router.get("/keys", summary="List active API keys, oldest first", responses=problems(422))
async def list_keys(_: CanAdmin, page: PageDep, services: ServicesDep) -> KeyPage:
    """Returns a page of active keys with their scopes and last use, without secrets."""
    found = await services.keys().list_keys(page)
    return KeyPage(items=[KeyOut.of(key) for key in found.items], next_cursor=found.next_cursor)


@router.get("/keys/{key_id}", summary="Get an active API key", responses=problems(KeyNotFound))
async def get_key(_: CanAdmin, key_id: Id, services: ServicesDep) -> KeyOut:
    """Returns the key's scopes, collections, expiry and last use, without the secret."""
    return KeyOut.of(await services.keys().get(key_id))


@router.post(
    "/keys/{key_id}/rotate",
    status_code=201,
    summary="Rotate an API key",
    responses=problems(KeyNotFound, 409),
)
async def rotate_key(principal: CanAdmin, key_id: Id, services: ServicesDep) -> IssuedKeyOut:
    """Creates a new key with the same name and permissions. The old key stays valid until you revoke it."""
    return IssuedKeyOut.issued(await services.keys().rotate(principal, key_id))


@router.delete("/keys/{key_id}", status_code=204, summary="Revoke an API key", responses=problems(KeyNotFound))
async def revoke_key(_: CanAdmin, key_id: Id, services: ServicesDep) -> None:
    """Takes effect with the key's next request, and cannot be undone."""
    await services.keys().revoke(key_id)


@router.post("/access-keys", status_code=201, summary="Create an access key")
async def issue_access_key(principal: CanAdmin, body: AccessKeyIn, services: ServicesDep) -> IssuedAccessKeyOut:
    """Access keys sign requests to the Rekognition API. The secret is shown only in this response."""
    record, pair = await services.keys().issue_access_key(principal, body.scopes)
    return IssuedAccessKeyOut.issued(record, pair)


@router.get("/access-keys", summary="List active access keys, oldest first", responses=problems(422))
async def list_access_keys(_: CanAdmin, page: PageDep, services: ServicesDep) -> KeyPage:
    """Returns a page of active access keys with their scopes and last use, without secrets."""
    found = await services.keys().list_access_keys(page)
    return KeyPage(items=[KeyOut.of(key) for key in found.items], next_cursor=found.next_cursor)


@router.delete(
    "/access-keys/{key_id}", status_code=204, summary="Revoke an access key", responses=problems(KeyNotFound)
)
async def revoke_access_key(_: CanAdmin, key_id: Id, services: ServicesDep) -> None:
    """Takes effect with the next signed request, and cannot be undone."""
    await services.keys().revoke_access_key(key_id)
