"""Translate our errors into what CompreFace clients expect: `message` and a numeric `code`.

In addition, `reason` holds our own stable code, which says more, and `request_id` finds the request in the log.
"""

from fastapi.responses import JSONResponse, Response

from app.errors import (
    AppError,
    AuthenticationFailed,
    CollectionNotFound,
    FaceNotFound,
    ImageRefused,
    InternalError,
    InvalidParameter,
    NoFace,
    PermissionDenied,
    PhotoNotFound,
    RouteNotFound,
    SeveralFaces,
    SubjectExists,
    SubjectNotFound,
    TooManyRequests,
    Unavailable,
)
from app.telemetry import error_code, request_id

_UNDEFINED = 0
_ARGUMENT = 36
_KEY_MISSING = 20
_KEY_UNKNOWN = 10

# The first matching class decides: subclasses stand above their bases.
_CODES: tuple[tuple[type[AppError], int], ...] = (
    (PermissionDenied, 1),
    (CollectionNotFound, _KEY_UNKNOWN),
    (PhotoNotFound, 11),
    (ImageRefused, 21),
    (InvalidParameter, 26),
    (NoFace, 28),
    (SeveralFaces, 31),
    (SubjectNotFound, 42),
    (SubjectExists, 43),
    (FaceNotFound, 44),
    (RouteNotFound, _UNDEFINED),
    (TooManyRequests, _UNDEFINED),
    (Unavailable, _UNDEFINED),
    (InternalError, _UNDEFINED),
)
_MESSAGES: tuple[tuple[type[AppError], str], ...] = (
    (NoFace, "No face is found in the given image"),
    (RouteNotFound, "The path is not one of the operations that Vultus serves (docs/reference/compreface.md)"),
    (SeveralFaces, "Found more than one face in the given image"),
)
"""CompreFace's own sentences for faces. A path is not repeated: it may hold a key. All other messages are our details,
because they name the field, the value and the limit."""

_FIELDS = {"source": "source_image", "target": "target_image"}
"""The protocol's names of fields that have others in the native API."""

_UNPROCESSABLE, _CONFLICT, _BAD_REQUEST = 422, 409, 400


def code_of(error: AppError) -> int:
    """Return CompreFace's code for an error."""
    if isinstance(error, AuthenticationFailed):
        return _KEY_MISSING if type(error) is AuthenticationFailed else _KEY_UNKNOWN
    return next((code for kind, code in _CODES if isinstance(error, kind)), _ARGUMENT)


def compreface_error(error: AppError) -> Response:
    """Return the response for an error: status 400 where the native API answers 409 or 422, else the same status."""
    error_code.set(error.code)
    status = _BAD_REQUEST if error.status in (_UNPROCESSABLE, _CONFLICT) else error.status
    body = {
        "message": _word(error).encode("utf-8", "replace").decode(),
        "code": code_of(error),
        "reason": error.code,
        "request_id": request_id.get(),
    }
    headers = {"cache-control": "no-store", **error.headers}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, AuthenticationFailed):
        headers["www-authenticate"] = "ApiKey"
    return JSONResponse(body, status, headers)


def _word(error: AppError) -> str:
    """Return the message, with the protocol's name of a field that has another."""
    ours = error.field or ""
    field = _FIELDS.get(ours)
    first = next((message for kind, message in _MESSAGES if isinstance(error, kind)), None)
    if first is not None:
        return first if field is None else f"{field}: {first}"
    if field is not None and error.detail.startswith(f"{ours}:"):
        return field + error.detail.removeprefix(ours)
    return error.detail
