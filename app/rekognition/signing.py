"""Authenticate a signed request: look up its access key, read the body, then verify the signature over both."""

from dataclasses import dataclass

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.errors import RequestRefused, SignatureInvalid
from app.permissions import Principal
from app.rekognition import SERVICE
from app.rekognition.state import protocol_of
from app.rekognition.targets import read_target
from app.security.request_signatures import SignedRequest
from app.server.admission import address_of
from app.server.off_loop import run_off_loop
from app.server.photo_gate import assign_place
from app.server.request_context import PRINCIPAL
from app.server.state import limiter_of, state_of


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A request whose signature is valid."""

    principal: Principal
    region: str
    operation: str
    body: bytes


async def read_signed_call(request: Request) -> SignedCall:
    """Read the whole request and verify its signature.

    Raises `SignatureInvalid`, `UnknownOperation`, `Overloaded`, and `RequestRefused` if the client disconnects.
    """
    signatures = state_of(request).signed_requests
    try:
        head = _head_of(request)
        caller = await signatures.find_caller(head, service=SERVICE)
        assign_place(request.scope, caller.signer.principal.tenant_id)
        operation = read_target(head.headers.get("x-amz-target", ""), protocol_of(request).wire_model)
        with signatures.receiving(caller):
            body = await _read_body(request)
            whole = SignedRequest(head.method, head.path, head.query, head.headers, body)
            principal = await run_off_loop(len(body), lambda: caller.verify(whole))
        await signatures.touch_key(caller)
    except SignatureInvalid:
        await limiter_of(request).admit_address(address_of(request), "bad-credentials")
        raise
    request.scope[PRINCIPAL] = principal
    return SignedCall(principal, caller.claim.region, operation, body)


async def _read_body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect as exc:
        raise RequestRefused("The client closed the connection before the body was complete.") from exc


def _head_of(request: Request) -> SignedRequest:
    path = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope.get("query_string", b"")
    # A repeated header is signed as one with all values, so nobody can add another value to a signed request.
    headers = {name: ",".join(request.headers.getlist(name)) for name in request.headers}
    return SignedRequest(request.method, path.decode("latin-1"), query.decode("latin-1"), headers, b"")
