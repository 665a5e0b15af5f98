"""Retry transient database errors such as deadlocks."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from app.errors import DatabaseUnavailable

T = TypeVar("T")


async def retry_transient(work: Callable[[], Awaitable[T]], times: int, *, pause_s: float = 0.0) -> T:
    """Return the result of `work`, calling it up to `times` times; `pause_s` doubles after each failure.

    Only `DatabaseUnavailable` is retried, and raised if the last attempt raises it.
    """

    async def call() -> T:  # tenacity awaits only coroutine functions
        return await work()

    attempts = AsyncRetrying(
        retry=retry_if_exception_type(DatabaseUnavailable),
        stop=stop_after_attempt(times),
        wait=wait_exponential(multiplier=pause_s),
        reraise=True,
    )
    return await attempts(call)
