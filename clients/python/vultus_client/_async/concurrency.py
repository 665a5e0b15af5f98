"""Wait, lock and work in several tasks; its sync twin uses threads."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

Lock = asyncio.Lock
sleep = asyncio.sleep


async def in_thread(work: Callable[[T], R], item: T) -> R:
    """Call what blocks outside the event loop."""
    return await asyncio.to_thread(work, item)


async def run_all(work: Callable[[T], Awaitable[None]], items: Iterable[T], at_once: int) -> None:
    """Work on all items, `at_once` at a time. The first error ends the rest and is raised."""
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(take())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
