"""Errors that end by waiting: rate limits, overload, and a service or database that is not ready."""

from app.errors.base import AppError


class TooManyRequests(AppError):
    """Too many requests were sent."""

    status = 429
    code = "too_many_requests"
    remedy = "Wait as `Retry-After` says."


class RateLimited(TooManyRequests):
    """Your plan's rate limit for this operation is reached; try again later."""

    code = "rate_limited"
    remedy = "Wait as `Retry-After` says."


class TooManyLoginAttempts(TooManyRequests):
    """Too many failed login attempts for this account; try again later."""

    code = "too_many_login_attempts"
    remedy = "Wait as `Retry-After` says."


class Unavailable(AppError):
    """The service is temporarily unavailable."""

    status = 503
    code = "unavailable"
    remedy = "Try again as `Retry-After` says."

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class Overloaded(Unavailable):
    """The service is overloaded; try again later."""

    code = "overloaded"
    remedy = "Try again as `Retry-After` says."


class ClientDisconnected(Unavailable):
    """The client disconnected before the request was processed."""

    code = "client_disconnected"
    remedy = "Nothing: nobody reads it."


class NotReady(Unavailable):
    """The service is starting, stopping or waiting for its database."""

    code = "not_ready"
    remedy = "Try again. Operators: the log says what is missing."


class DatabaseUnavailable(Unavailable):
    """The database is not responding."""

    code = "database_unavailable"
    remedy = "Try again; operators: check PostgreSQL."


class InferenceUnavailable(Unavailable):
    """The server that runs the recognition networks is not responding."""

    code = "inference_unavailable"
    remedy = "Try again as `Retry-After` says; operators: check `vultus inference`."


class RecognizerUnavailable(Unavailable):
    """The collection's recognizer is not loaded on this server."""

    code = "recognizer_unavailable"
    remedy = "Operators: add its pack."


class RecognizerChanged(Unavailable):
    """The collection switched to another recognizer during the request; send the request again."""

    code = "recognizer_changed"
    remedy = "Send the request again."
