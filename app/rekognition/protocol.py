"""The endpoint: authenticate, apply the rate limit, run the operation and serialize its result."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from app.errors import UnknownOperation
from app.rekognition import MAX_BODY_BYTES, MAX_PLAIN_BYTES, PATH
from app.rekognition.call import Call, Result
from app.rekognition.errors import amz_response
from app.rekognition.operations import OPERATIONS
from app.rekognition.signing import SignedCall, read_signed_call
from app.rekognition.state import protocol_of
from app.rekognition.wire_model import WireModel
from app.server.admission import admit
from app.server.disconnects import DisconnectDep, watch_connection
from app.server.off_loop import run_off_loop
from app.server.request_context import OPERATION
from app.server.state import state_of
from app.services.idempotency import ResponseReplayed
from app.wiring.caller import CallerServices

router = APIRouter()

SignedCallDep = Annotated[SignedCall, Depends(read_signed_call)]


@router.post(PATH, include_in_schema=False)
@router.post(f"{PATH}/", include_in_schema=False)
async def handle(request: Request, signed: SignedCallDep, disconnect: DisconnectDep) -> Response:
    protocol = protocol_of(request)
    model = protocol.wire_model
    name = read_target(signed.target, model)
    operation = OPERATIONS[name]
    headers = await admit(request, signed.principal, operation.permission)
    request.scope[OPERATION] = f"rekognition.{name}"
    parameters = await run_off_loop(len(signed.body), lambda: model.read(name, signed.body))
    caller = CallerServices(state_of(request), signed.principal, disconnect)
    call = Call(caller, protocol, name, parameters, region=signed.region, scope=request.scope)
    async with watch_connection(request, disconnect):
        try:
            result = await operation.work(call)
            response = amz_response(await run_off_loop(_size_of(result), lambda: model.write(name, result)))
        except ResponseReplayed as replay:
            response = amz_response(replay.record.body.encode())
            response.headers["idempotent-replayed"] = "true"
    response.headers.update(headers)
    return response


def read_target(target: str, model: WireModel) -> str:
    """Return the operation that `X-Amz-Target` names; raises `UnknownOperation`."""
    prefix, _, name = target.partition(".")
    if prefix == model.target_prefix and name in OPERATIONS:
        return name
    if prefix == model.target_prefix and name in model.operations:
        raise UnknownOperation(f"{name} is not supported by Vultus; it supports {', '.join(OPERATIONS)}.")
    shown = target.encode("ascii", "replace").decode()[:64]
    raise UnknownOperation(f"X-Amz-Target: {shown or '(missing)'} is not an operation of {model.target_prefix}.")


def _size_of(result: Result) -> int:
    """Estimate the size of a result in bytes from its longest list."""
    return 512 * max((len(value) for value in result.values() if isinstance(value, list)), default=0)


def max_body_bytes(headers: Mapping[str, str]) -> int:
    """Return the maximum body size for the operation in the headers, which are not verified yet."""
    return MAX_BODY_BYTES if runs_inference(headers) else MAX_PLAIN_BYTES


def runs_inference(headers: Mapping[str, str]) -> bool:
    """Return whether the operation in the headers, which are not verified yet, takes photos."""
    operation = OPERATIONS.get(headers.get("x-amz-target", "").partition(".")[2])
    return operation is not None and operation.has_photos
