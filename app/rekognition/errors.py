"""Translate our errors into what AWS SDKs expect: error code, HTTP status and message."""

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
    TooManyVideosWaiting,
    Unavailable,
    UnknownOperation,
    VideosNotSupported,
    VideoTooLarge,
)
from app.rekognition.messages import NOTHING_ASKED, Asked, word_detail, word_message
from app.security.request_signatures import SignatureFault
from app.telemetry import error_code, request_id

JSON_TYPE = "application/x-amz-json-1.1"

# The first matching class decides: subclasses stand above their bases.
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
    (VideosNotSupported, "UnknownOperationException"),
    (VideoTooLarge, "VideoTooLargeException"),
    (TooManyVideosWaiting, "LimitExceededException"),
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
"""Other signature faults are an `InvalidSignatureException`."""

_SERVER_ERROR = "InternalServerError"


def code_of(error: AppError) -> str:
    """Return AWS's code for an error."""
    if isinstance(error, SignatureInvalid):
        return _SIGNATURE_CODES.get(error.fault, "InvalidSignatureException")
    return next((code for kind, code in _CODES if isinstance(error, kind)), _SERVER_ERROR)


def rekognition_error(error: AppError, asked: Asked = NOTHING_ASKED) -> Response:
    """Return the response for an error: status 400, like AWS, 405 for another method, or 500 for a failure.

    In addition to AWS's members, `Reason` holds our own stable code and `Detail` our own message: both say more.
    For a photo that is refused, the header `x-vultus-detail` holds the latter too.
    """
    error_code.set(error.code)
    code = code_of(error)
    status = 500 if code == _SERVER_ERROR else 405 if isinstance(error, MethodNotAllowed) else 400
    body: dict[str, Any] = {
        "__type": code,
        "message": _replace_surrogates(word_message(error, asked)),
        "Code": code,
        "Logref": request_id.get(),
        "Reason": error.code,
        "Detail": _replace_surrogates(word_detail(error)),
    }
    response = amz_response(json.dumps(body).encode(), status, error=code)
    if isinstance(error, ImageRefused | ObjectUnavailable):
        # SDKs pass headers on, but not members of the body that AWS does not know. These details contain no ids.
        response.headers["x-vultus-detail"] = word_detail(error).encode("ascii", "replace").decode()
    return response


def amz_response(body: bytes, status: int = 200, *, error: str | None = None) -> Response:
    """Return a response with the protocol's headers."""
    headers = {"cache-control": "no-store", "x-amzn-requestid": request_id.get() or ""}
    if error is not None:
        headers["x-amzn-errortype"] = error
    return Response(body, status, headers, media_type=JSON_TYPE)


def _replace_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
