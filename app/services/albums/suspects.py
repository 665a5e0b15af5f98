"""Process photos that may have killed a worker alone, so that no other photo is suspected with them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class SuspectGate:
    """Lets many in together, or one alone; those who wait to be alone come before others."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._together = 0
        self._is_alone = False
        self._waiting_alone = 0

    @asynccontextmanager
    async def enter(self, *, alone: bool) -> AsyncIterator[None]:
        """Wait for a place, and hold it for the block."""
        await (self._enter_alone() if alone else self._enter_together())
        try:
            yield
        finally:
            async with self._changed:
                if alone:
                    self._is_alone = False
                else:
                    self._together -= 1
                self._changed.notify_all()

    async def _enter_alone(self) -> None:
        async with self._changed:
            self._waiting_alone += 1
            try:
                await self._changed.wait_for(lambda: not self._together and not self._is_alone)
            finally:
                self._waiting_alone -= 1
                self._changed.notify_all()
            self._is_alone = True

    async def _enter_together(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_alone and not self._waiting_alone)
            self._together += 1
