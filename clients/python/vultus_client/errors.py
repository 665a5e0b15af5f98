"""Define what the client raises; `vultus_client.problems` has one class for each error code."""

from functools import cache
from typing import Any, ClassVar

import httpx


class VultusError(Exception):
    """Anything that this package raises about a server or its messages."""


class ConnectionLost(VultusError):
    """The server did not answer. A change may have been made, unless it is one that the client repeats."""


class WebhookRefused(VultusError):
    """A message was not signed with this secret, or is too old."""


class ApiError(VultusError):
    """The server refused a request. `code` is stable; `detail` is for people."""

    code: str = "unknown"
    status: int
    detail: str
    request_id: str | None
    errors: list[dict[str, Any]]
    """Each invalid field or image: `field`, `index` (counted from 0) and `detail`."""
    retry_after_s: float | None

    _kinds: ClassVar[dict[str, type["ApiError"]]] = {}

    def __init_subclass__(cls) -> None:
        ApiError._kinds[cls.code] = cls

    @classmethod
    def of(cls, response: httpx.Response) -> "ApiError":
        """Return the exception of a refused request; the body must have been read."""
        try:
            body = response.json()
        except ValueError:
            body = {}
        if not isinstance(body, dict):
            body = {}
        code = str(body.get("code", f"http_{response.status_code}"))
        detail = str(body.get("detail", f"status {response.status_code} without a description"))
        error = _kinds().get(code, cls)(f"{code}: {detail}")
        error.code, error.detail, error.status = code, detail, response.status_code
        error.request_id = body.get("request_id")
        error.errors = body.get("errors") or []
        error.retry_after_s = read_retry_after(response)
        return error


@cache
def _kinds() -> dict[str, type[ApiError]]:
    from vultus_client import problems  # noqa: F401, PLC0415  (defines the subclasses)

    return ApiError._kinds


def read_retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the server asks to wait; None: it does not say."""
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
