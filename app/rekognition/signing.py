"""Reads a signed request: first whose key it names, then its body, then whether that key's secret signed it all."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.errors import RequestRefused, SignatureInvalid
from app.permissions import Principal
from app.security.request_signatures import SignedRequest
from app.server.admission import address_of
from app.server.state import limiter_of, state_of

T = TypeVar("T")

_ON_THE_LOOP_BYTES = 64 * 1024
"""More than this is hashed, parsed and written on a thread, beside the event loop."""


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A request that is what its caller signed."""

    principal: Principal
    region: str
    target: str
    body: bytes


async def read_signed_call(request: Request) -> SignedCall:
    """The call, with its whole body; raises `SignatureInvalid`."""
    signatures = state_of(request).signed_requests
    try:
        head = _head_of(request)
        caller = await signatures.find_caller(head)
        with signatures.receiving(caller):
            body = await _read_body(request)
            whole = SignedRequest(head.method, head.path, head.query, head.headers, body)
            principal = await off_the_loop(len(body), lambda: caller.verify(whole))
        await signatures.note_use(caller)
    except SignatureInvalid:
        await limiter_of(request).admit_address(address_of(request), "bad-credentials")
        raise
    return SignedCall(principal, caller.claim.region, head.headers.get("x-amz-target", ""), body)


async def off_the_loop(size: int, work: Callable[[], T]) -> T:
    """Do what takes time with this many bytes where it keeps nobody else waiting."""
    return work() if size <= _ON_THE_LOOP_BYTES else await asyncio.to_thread(work)


async def _read_body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect as exc:
        raise RequestRefused("The connection closed before the body was complete.") from exc


def _head_of(request: Request) -> SignedRequest:
    path = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope.get("query_string", b"")
    return SignedRequest(request.method, path.decode("latin-1"), query.decode("latin-1"), dict(request.headers), b"")
