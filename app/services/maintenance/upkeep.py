"""What a server does beside answering: erasing again what a restore brought back, and erasing whose time is over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.services.background import log_and_continue
from app.services.erasure.replay import ErasureReplay
from app.services.erasure.retention import RetentionSweep

_RETRY_S = 1.0


class Upkeep:
    """Begins with the replay: until it is done, the service is not ready."""

    def __init__(self, replay: ErasureReplay, sweep: RetentionSweep | None) -> None:
        self._replay = replay
        self._sweep = sweep
        self.is_replayed = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The replay is done, or tried again until it is; sweeps go on for the time of the block."""
        await self._try_replay()
        task = asyncio.create_task(self._go_on())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _go_on(self) -> None:
        while not self.is_replayed:
            await asyncio.sleep(_RETRY_S)
            await self._try_replay()
        if self._sweep is not None:
            await self._sweep.keep()

    async def _try_replay(self) -> None:
        with log_and_continue("erasures_not_replayed"):  # the database is away: nobody can be found in it either
            await self._replay.run()
            self.is_replayed = True
