"""Which services answer the caller, in which transaction; and the parameters that many routes share."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from app.routes.deps.callers import PrincipalDep
from app.server.disconnects import DisconnectDep
from app.server.state import state_of
from app.services.idempotency import IdempotencyService
from app.services.paging import DEFAULT_PAGE, MAX_PAGE, PageRequest
from app.wiring.caller import CallerServices, TransactionServices


async def get_caller(request: Request, principal: PrincipalDep, disconnect: DisconnectDep) -> CallerServices:
    return CallerServices(state_of(request), principal, disconnect)


CallerDep = Annotated[CallerServices, Depends(get_caller)]
"""Services without a transaction of their own."""


async def get_services(caller: CallerDep) -> AsyncIterator[TransactionServices]:
    async with caller.transaction() as services:
        yield services


# Scope "function": the transaction commits before the answer is sent, not after.
ServicesDep = Annotated[TransactionServices, Depends(get_services, scope="function")]
"""Services in the one transaction of the request, in the caller's tenant."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="idempotency-key",
        pattern=r"^[!-~]{1,255}$",
        description="For 24 hours the same key with the same request has one effect and one answer.",
    ),
]


async def get_idempotency(services: ServicesDep, key: IdempotencyKey = None) -> IdempotencyService:
    return services.idempotency(key)


IdempotencyDep = Annotated[IdempotencyService, Depends(get_idempotency)]


async def get_page(
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Items per page.")] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=2048, description="`next_cursor` of the previous page.")] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


PageDep = Annotated[PageRequest, Depends(get_page)]
