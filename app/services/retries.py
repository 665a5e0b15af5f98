"""Doing again what the database could not do this time: it ended one of two that waited for each other, say."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import DatabaseUnavailable

T = TypeVar("T")


async def retry_transient(work: Callable[[], Awaitable[T]], times: int, *, pause_s: float = 0.0) -> T:
    """The result of `work`, which is called up to so many times, with a pause that doubles after each.

    Raises `DatabaseUnavailable` where the last of them does, and at once what else `work` raises.
    """
    for left in range(times - 1, 0, -1):
        try:
            return await work()
        except DatabaseUnavailable:
            await asyncio.sleep(pause_s * 2 ** (times - 1 - left))
    return await work()
