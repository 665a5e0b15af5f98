"""Provide the caller's services, with or without a transaction, and the parameters that many routes share."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from app.routes.deps.callers import PrincipalDep
from app.schemas.text_rules import TOKEN
from app.server.disconnects import DisconnectDep
from app.server.request_context import FOUND_COLLECTION, counted_change
from app.server.state import state_of
from app.services.idempotency import IdempotencyService
from app.services.paging import DEFAULT_PAGE, MAX_PAGE, PageRequest
from app.wiring.caller import CallerServices, TransactionServices

_READING_METHODS = frozenset({"GET", "HEAD"})


async def get_caller(request: Request, principal: PrincipalDep, disconnect: DisconnectDep) -> CallerServices:
    return CallerServices(state_of(request), principal, disconnect, request.scope.get(FOUND_COLLECTION))


CallerDep = Annotated[CallerServices, Depends(get_caller)]
"""The services that run outside the request's transaction."""


async def get_services(request: Request, caller: CallerDep) -> AsyncIterator[TransactionServices]:
    transaction = caller.transaction()
    if request.method not in _READING_METHODS:
        transaction = counted_change(request.scope, transaction)
    async with transaction as services:
        yield services


# Scope "function" commits the transaction before the response is sent; the default would commit after it.
ServicesDep = Annotated[TransactionServices, Depends(get_services, scope="function")]
"""The services that run in the request's single transaction, confined to the caller's tenant."""

IdempotencyKey = Annotated[
    Annotated[str, TOKEN] | None,
    Header(
        alias="idempotency-key",
        description="Makes retries safe: for 24 hours, repeating a request with the same key returns the first "
        "response and has no further effect.",
    ),
]


async def get_idempotency(services: ServicesDep, key: IdempotencyKey = None) -> IdempotencyService:
    return services.idempotency(key)


IdempotencyDep = Annotated[IdempotencyService, Depends(get_idempotency)]


async def get_page(
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Maximum number of items per page.")] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=2048, description="The `next_cursor` of the previous page.")] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


PageDep = Annotated[PageRequest, Depends(get_page)]
