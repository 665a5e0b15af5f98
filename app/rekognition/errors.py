"""Our errors under the codes that AWS clients know; statuses and retries as their SDKs expect them."""

import json
from typing import Any

from fastapi.responses import Response

from app.errors import (
    AppError,
    CollectionExists,
    ConsentRequired,
    ConsentWithdrawn,
    FaceNotFound,
    FaceRefused,
    IdempotencyKeyReused,
    IdempotentAnswerErased,
    ImageEmpty,
    ImageRefused,
    ImageTooLarge,
    ImageTooManyPixels,
    InternalError,
    InvalidCursor,
    InvalidParameter,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    ObjectUnavailable,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    RecognizerChanged,
    RequestRefused,
    RequestTimeout,
    RequestTooLarge,
    RouteNotFound,
    SignatureInvalid,
    SubjectExists,
    SubjectFull,
    TooManyRequests,
    Unavailable,
    UnknownOperation,
)
from app.security.request_signatures import SignatureFault
from app.telemetry import request_id

JSON_TYPE = "application/x-amz-json-1.1"


# The first that fits counts: the more special stand above the more general.
_CODES: tuple[tuple[type[AppError], str], ...] = (
    (UnknownOperation, "UnknownOperationException"),
    (MalformedRequest, "SerializationException"),
    (CollectionExists, "ResourceAlreadyExistsException"),
    (SubjectExists, "ConflictException"),
    (SubjectFull, "ServiceQuotaExceededException"),
    (QuotaExceeded, "ServiceQuotaExceededException"),
    (PermissionDenied, "AccessDeniedException"),
    (ConsentRequired, "AccessDeniedException"),
    (ConsentWithdrawn, "AccessDeniedException"),
    (FaceNotFound, "InvalidParameterException"),
    (NotFound, "ResourceNotFoundException"),
    (InvalidCursor, "InvalidPaginationTokenException"),
    (IdempotencyKeyReused, "IdempotentParameterMismatchException"),
    (IdempotentAnswerErased, "ResourceNotFoundException"),
    (ObjectUnavailable, "InvalidS3ObjectException"),
    (ImageTooLarge, "ImageTooLargeException"),
    (ImageTooManyPixels, "ImageTooLargeException"),
    (RequestTooLarge, "ImageTooLargeException"),
    (ImageEmpty, "InvalidParameterException"),
    (ImageRefused, "InvalidImageFormatException"),
    (FaceRefused, "InvalidParameterException"),
    (InvalidParameter, "InvalidParameterException"),
    (RequestTimeout, "RequestTimeoutException"),
    (RouteNotFound, "UnknownOperationException"),
    (MethodNotAllowed, "UnknownOperationException"),
    (RequestRefused, "SerializationException"),
    (TooManyRequests, "ProvisionedThroughputExceededException"),
    (Overloaded, "ThrottlingException"),
    (RecognizerChanged, "ThrottlingException"),
    (Unavailable, "InternalServerError"),
    (InternalError, "InternalServerError"),
)

_SIGNATURE_CODES: dict[str | None, str] = {
    None: "UnrecognizedClientException",
    SignatureFault.MISSING: "MissingAuthenticationTokenException",
    SignatureFault.INCOMPLETE: "IncompleteSignatureException",
    SignatureFault.SESSION_TOKEN: "UnrecognizedClientException",
}
"""Every other fault of a signature is an `InvalidSignatureException`."""

_OF_THE_SERVER = "InternalServerError"


def code_of(error: AppError) -> str:
    """AWS's code for an error."""
    if isinstance(error, SignatureInvalid):
        return _SIGNATURE_CODES.get(error.fault, "InvalidSignatureException")
    return next((code for kind, code in _CODES if isinstance(error, kind)), _OF_THE_SERVER)


def rekognition_error(error: AppError) -> Response:
    """The response for an error: 400, as all of AWS's, or 500 where the fault is ours.

    Beside what AWS sends it has `Reason`, our own stable code, which is finer.
    """
    code, current = code_of(error), request_id.get()
    status = 500 if code == _OF_THE_SERVER else 400
    body: dict[str, Any] = {
        "__type": code,
        "message": _text(error.detail),
        "Code": code,
        "Logref": current,
        "Reason": error.code,
    }
    return amz_response(json.dumps(body).encode(), status, error=code)


def amz_response(body: bytes, status: int = 200, *, error: str | None = None) -> Response:
    """A response of the protocol."""
    headers = {"cache-control": "no-store", "x-amzn-requestid": request_id.get() or ""}
    if error is not None:
        headers["x-amzn-errortype"] = error
    return Response(body, status, headers, media_type=JSON_TYPE)


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
