"""Describe the error responses of routes for the OpenAPI document; `docs.py` adds the schema of `Problem`."""

from typing import Any

from app.errors import (
    AppError,
    AuthenticationFailed,
    CollectionNotFound,
    Conflict,
    NoFace,
    Overloaded,
    PermissionDenied,
    RateLimited,
    RequestTimeout,
    RequestTooLarge,
    UnsupportedMediaType,
)

_EXAMPLES: dict[int, type[AppError]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: CollectionNotFound,
    408: RequestTimeout,
    409: Conflict,
    413: RequestTooLarge,
    415: UnsupportedMediaType,
    422: NoFace,
    429: RateLimited,
    503: Overloaded,
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route: a problem document with an example for each status."""
    return {status: _response(_EXAMPLES[status]) for status in statuses}


def _response(error: type[AppError]) -> dict[str, Any]:
    title = (error.__doc__ or "").strip().splitlines()[0]
    example = {
        "type": f"urn:vultus:problem:{error.code}",
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
WITH_IMAGE = problems(401, 403, 408, 413, 415, 422, 429, 503)
