"""Run work that grows with a request's size in a thread, so that it does not stop the event loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MAX_INLINE_BYTES = 64 * 1024
"""Larger bodies are hashed, parsed and serialized in a thread."""


async def run_off_loop(size: int, work: Callable[[], T]) -> T:
    """Run work on `size` bytes: in a thread if it would block the event loop for too long."""
    return work() if size <= MAX_INLINE_BYTES else await asyncio.to_thread(work)
