"""Erase in the background of a server: replay the erasure journal at the start, then sweep expired subjects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.services.background import log_and_continue
from app.services.erasure.replay import ErasureReplay
from app.services.erasure.retention import RetentionSweep

_RETRY_S = 1.0


class BackgroundErasure:
    """Run the replay, then the sweeps; the service is not ready until the replay has succeeded."""

    def __init__(self, replay: ErasureReplay, sweep: RetentionSweep | None) -> None:
        self._replay = replay
        self._sweep = sweep
        self.is_replayed = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Try the replay once before the block; retry it and sweep during the block."""
        await self._try_replay()
        task = asyncio.create_task(self._replay_and_sweep())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _replay_and_sweep(self) -> None:
        while not self.is_replayed:
            await asyncio.sleep(_RETRY_S)
            await self._try_replay()
        if self._sweep is not None:
            await self._sweep.run_forever()

    async def _try_replay(self) -> None:
        # Starting without the database is safe: no search can find anybody in it meanwhile.
        with log_and_continue("erasures_not_replayed"):
            await self._replay.run()
            self.is_replayed = True
