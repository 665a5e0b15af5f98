"""Describe the error responses of routes for the OpenAPI document; `docs.py` adds the schema of `Problem`."""

from typing import Any

from app.errors import (
    AppError,
    AuthenticationFailed,
    CollectionNotFound,
    Conflict,
    ImageUnreadable,
    InvalidParameter,
    NoFace,
    Overloaded,
    PermissionDenied,
    RateLimited,
    RequestTimeout,
    RequestTooLarge,
    UnsupportedMediaType,
    problem_type,
)

_EXAMPLES: dict[int, type[AppError]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: CollectionNotFound,
    408: RequestTimeout,
    409: Conflict,
    413: RequestTooLarge,
    415: UnsupportedMediaType,
    422: InvalidParameter,
    429: RateLimited,
    503: Overloaded,
}


def problems(*errors: int | type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route: a problem document for each error, or for the usual error of a status."""
    described = [_EXAMPLES[error] if isinstance(error, int) else error for error in errors]
    return {error.status: _response(error) for error in described}


def _response(error: type[AppError]) -> dict[str, Any]:
    title = (error.__doc__ or "").strip().splitlines()[0]
    example = {
        "type": problem_type(error.code),
        "title": title,
        "status": error.status,
        "detail": title,
        "code": error.code,
        "request_id": "6f1c0e8a2b7d4c55",
    }
    return {
        "description": title,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        },
    }


AUTHENTICATED = problems(401, 403, 429)
WITH_PHOTO = problems(401, 403, 408, 413, 415, ImageUnreadable, 429, 503)
"""Of a route that looks for faces in photos."""
WITH_FACE = {**WITH_PHOTO, **problems(NoFace)}
"""Of a route that needs a face in each photo."""
