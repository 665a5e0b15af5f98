"""Define `AppError`, the root of every error that a client can receive."""

from typing import Any, ClassVar

REFERENCE_PATH = "/docs/errors"
"""The page that describes every code, below an anchor of the code's name."""


def problem_type(code: str) -> str:
    """Return the `type` of a problem (RFC 9457): the page of this server that describes the code."""
    return f"{REFERENCE_PATH}#{code}"


class AppError(Exception):
    """The request could not be processed."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    remedy: ClassVar[str] = "Report it with `request_id`."
    """What the caller can do, for the reference; the `detail` of an error is more exact."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        field: str | None = None,
        index: int | None = None,
        errors: list[dict[str, Any]] | None = None,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.headers = headers or {}
        self.title = (type(self).__doc__ or "").strip().splitlines()[0]
        self.detail = detail or self.title
        self.field = field
        self.index = index
        self.errors = errors
        self.retry_after_s = retry_after_s
        super().__init__(self.detail)

    def name_field(self, field: str) -> None:
        """Say which field of the request the error is about, unless it says so already."""
        if self.field is None:
            self.field = field
            self.detail = f"{field}: {self.detail}"


class InternalError(AppError):
    """An unexpected error occurred on the server; report the request id to the operator."""
