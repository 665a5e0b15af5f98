"""Authenticate the API key of a request and admit it, before the request's body is read."""

from collections.abc import Awaitable, Callable
from typing import Annotated, cast

from fastapi import Header, Request, Response

from app.compreface.call import Call
from app.compreface.similarity import SimilarityScales
from app.errors import AuthenticationFailed, PermissionDenied, TokenExpired, TokenInvalid, TokenRevoked
from app.permissions import Permission, Principal
from app.schemas.text_rules import TOKEN
from app.security.secret_tokens import TokenPrefix
from app.server.admission import address_of, admit
from app.server.disconnects import DisconnectDep
from app.server.request_context import OPERATION, PRINCIPAL
from app.server.state import limiter_of, state_of
from app.wiring.caller import CallerServices

_HEADER = "x-api-key"

IdempotencyKey = Annotated[Annotated[str, TOKEN] | None, Header(alias="idempotency-key")]


def allow(permission: Permission) -> Callable[..., Awaitable[Call]]:
    """Return the dependency that admits only keys with a permission that are limited to one collection."""

    async def check(
        request: Request, response: Response, disconnect: DisconnectDep, idempotency_key: IdempotencyKey = None
    ) -> Call:
        principal = await _authenticate(request)
        headers = await admit(request, principal, permission)
        response.headers.update({**headers, "cache-control": "no-store"})
        request.scope[OPERATION] = f"compreface.{request.scope['route'].name}"
        return Call(
            request,
            response,
            CallerServices(state_of(request), principal, disconnect),
            disconnect,
            collection=_collection_of(principal),
            scales=cast(SimilarityScales, request.state.compreface),
            idempotency_key=idempotency_key,
        )

    check.permission = permission  # type: ignore[attr-defined]
    return check


async def _authenticate(request: Request) -> Principal:
    """Return the caller of a key; raises an `AuthenticationFailed`, or `RateLimited` after many wrong keys."""
    try:
        sent = request.headers.getlist(_HEADER)
        if len(sent) > 1:
            # A proxy may have checked another one than we would.
            raise AuthenticationFailed(f"Repeated header: {_HEADER}. Send one key.")
        if not sent or not sent[0]:
            raise AuthenticationFailed(f"Missing header: {_HEADER}. Send an API key that is limited to one collection.")
        if not sent[0].startswith(TokenPrefix.API_KEY):
            raise TokenInvalid("The service with this API key was not found. Send an API key of Vultus.")
        principal = await state_of(request).auth.authenticate(sent[0])
    except (TokenExpired, TokenRevoked):  # it was genuine once, so nobody is guessing
        raise
    except AuthenticationFailed:
        await limiter_of(request).admit_address(address_of(request), "bad-credentials")
        raise
    request.scope[PRINCIPAL] = principal
    return principal


def _collection_of(principal: Principal) -> str:
    """Return the collection that a key is limited to; raises `PermissionDenied` for none or several."""
    collections = principal.collections
    if collections is None or len(collections) != 1:
        allowed = "every collection" if collections is None else f"{len(collections)} collections"
        raise PermissionDenied(
            f"This API key is limited to {allowed}. A CompreFace service has one face collection: issue a key that is "
            f"limited to exactly one (POST /api/v1/keys with `collections`)."
        )
    (collection,) = collections
    return collection
