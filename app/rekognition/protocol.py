"""One request of the protocol: whose it is, which operation, how often; its answer or its error."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from app.errors import UnknownOperation
from app.rekognition import MAX_BODY_BYTES, MAX_PLAIN_BYTES, PATH
from app.rekognition.call import Answer, Call
from app.rekognition.errors import amz_response
from app.rekognition.operations import OPERATIONS
from app.rekognition.signing import SignedCall, off_the_loop, read_signed_call
from app.rekognition.state import protocol_of
from app.rekognition.wire_model import WireModel
from app.server.admission import admit
from app.server.disconnects import DisconnectDep, watch_connection
from app.server.request_context import OPERATION
from app.server.state import state_of
from app.services.idempotency import AnswerReplayed
from app.wiring.caller import CallerServices

router = APIRouter()

SignedCallDep = Annotated[SignedCall, Depends(read_signed_call)]


@router.post(PATH, include_in_schema=False)
@router.post(f"{PATH}/", include_in_schema=False)
async def answer(request: Request, signed: SignedCallDep, disconnect: DisconnectDep) -> Response:
    protocol = protocol_of(request)
    model = protocol.wire_model
    name = read_target(signed.target, model)
    operation = OPERATIONS[name]
    headers = await admit(request, signed.principal, operation.permission)
    request.scope[OPERATION] = f"rekognition.{name}"
    given = await off_the_loop(len(signed.body), lambda: model.read(name, signed.body))
    caller = CallerServices(state_of(request), signed.principal, disconnect)
    call = Call(caller, protocol, name, given, region=signed.region, scope=request.scope)
    async with watch_connection(request, disconnect):
        try:
            result = await operation.work(call)
            response = amz_response(await off_the_loop(_size_of(result), lambda: model.write(name, result)))
        except AnswerReplayed as replay:
            response = amz_response(replay.answer.body.encode())
            response.headers["idempotent-replayed"] = "true"
    response.headers.update(headers)
    return response


def read_target(target: str, model: WireModel) -> str:
    """The operation that `X-Amz-Target` names; raises `UnknownOperation` by its name."""
    prefix, _, name = target.partition(".")
    if prefix == model.target_prefix and name in OPERATIONS:
        return name
    if prefix == model.target_prefix and name in model.operations:
        raise UnknownOperation(f"{name} is not supported by Vultus; supported are: {', '.join(OPERATIONS)}.")
    shown = target.encode("ascii", "replace").decode()[:64]
    raise UnknownOperation(f"X-Amz-Target: {shown or 'missing'} names no operation of {model.target_prefix}.")


def _size_of(result: Answer) -> int:
    """Bytes of an answer, roughly: its longest list."""
    return 512 * max((len(value) for value in result.values() if isinstance(value, list)), default=0)


def most_body_bytes(headers: Mapping[str, str]) -> int:
    """How large a body may be, by the operation that a request's headers ask for; nothing of it is checked yet."""
    return MAX_BODY_BYTES if runs_networks(headers) else MAX_PLAIN_BYTES


def runs_networks(headers: Mapping[str, str]) -> bool:
    """Whether a request's headers ask for an operation with photos; nothing of it is checked yet."""
    operation = OPERATIONS.get(headers.get("x-amz-target", "").partition(".")[2])
    return operation is not None and operation.has_photos
