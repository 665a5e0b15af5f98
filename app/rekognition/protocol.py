"""The endpoint: authenticate, apply the rate limit, run the operation and serialize its result."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from app.errors import AppError
from app.rekognition import PATH
from app.rekognition.arns import user_arn
from app.rekognition.call import Call, Result
from app.rekognition.errors import amz_response, rekognition_error
from app.rekognition.messages import Asked
from app.rekognition.operations import OPERATIONS
from app.rekognition.signing import SignedCall, read_signed_call
from app.rekognition.state import ProtocolState, protocol_of
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
    protocol, principal, name = protocol_of(request), signed.principal, signed.operation
    parameters: dict[str, Any] = {}
    try:
        headers = await admit(request, principal, OPERATIONS[name].permission)
        request.scope[OPERATION] = f"rekognition.{name}"
        parameters = await run_off_loop(len(signed.body), lambda: protocol.wire_model.read(name, signed.body))
        caller = CallerServices(state_of(request), principal, disconnect)
        call = Call(caller, protocol, name, parameters, region=signed.region, scope=request.scope)
        async with watch_connection(request, disconnect):
            response = await _run(call, protocol, name)
    except AppError as error:
        return rekognition_error(error, Asked(name, parameters, user_arn(principal.tenant_id, principal.key_id)))
    response.headers.update(headers)
    return response


async def _run(call: Call, protocol: ProtocolState, name: str) -> Response:
    try:
        result = await OPERATIONS[name].work(call)
        return amz_response(await run_off_loop(_size_of(result), lambda: protocol.wire_model.write(name, result)))
    except ResponseReplayed as replay:
        response = amz_response(replay.record.body.encode())
        response.headers["idempotent-replayed"] = "true"
        return response


def _size_of(result: Result) -> int:
    """Estimate the size of a result in bytes from its longest list."""
    return 512 * max((len(value) for value in result.values() if isinstance(value, list)), default=0)
