"""Password hashing is work that others go before."""

import asyncio
import os
import sys
import threading

import pytest

from app.security.passwords import PasswordHasher


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
async def test_hashing_threads_have_a_lower_priority_than_their_process() -> None:
    hasher = PasswordHasher(threads=1)
    try:
        priority = await asyncio.get_running_loop().run_in_executor(
            hasher._pool, lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        )
        ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        assert priority == min(19, ours + 10)
        assert await hasher.verify("secret phrase", await hasher.hash("secret phrase"))
    finally:
        hasher.close()
