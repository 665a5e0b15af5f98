"""Read and write large documents in a child process, so that they take no processor time from the event loop.

In a thread they would hold Python's lock half of the time, and every step of other requests would wait for it.
"""

import asyncio
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from app.errors import Overloaded
from app.server.off_loop import MAX_INLINE_BYTES
from app.server.parent_process import end_with_parent
from app.thread_priority import lower_priority

P = ParamSpec("P")
T = TypeVar("T")

_LOWER_BY = 10
_IDLE_S = 60.0
"""The process ends after this time without work; starting it takes about a second."""


class DocumentProcess:
    """Runs one piece of work at a time, tenants in turn, in a process of low priority that starts when it is needed."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._is_busy = False
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self._idle: asyncio.TimerHandle | None = None

    async def run(self, tenant: Hashable, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a module's function on `size` bytes; on the event loop if they are few.

        Arguments, result and errors are pickled. Raises `Overloaded` if the process is killed for lack of memory.
        """
        if size <= MAX_INLINE_BYTES:
            return work(*args, **kwargs)
        await self._wait_for_turn(tenant)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._open(), _call, work, args, kwargs)
        except BrokenProcessPool as exc:
            self.close()
            raise Overloaded("The server has too little memory left for this document. Retry later.") from exc
        finally:
            self._pass_turn()

    def close(self) -> None:
        """End the process; work that waits for it fails."""
        self._stop_timer()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _open(self) -> ProcessPoolExecutor:
        self._stop_timer()
        if self._pool is None:
            # A forked process would inherit locks that threads hold, and the sockets of all clients.
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_prepare_process)
        return self._pool

    async def _wait_for_turn(self, tenant: Hashable) -> None:
        if not self._is_busy:
            self._is_busy = True
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._pass_turn()
            raise

    def _pass_turn(self) -> None:
        while self._waiting:
            tenant = next(iter(self._waiting))
            turns = self._waiting.pop(tenant)
            turn = turns.popleft()
            if turns:
                self._waiting[tenant] = turns  # behind the other tenants
            if not turn.done():
                turn.set_result(None)
                return
        self._is_busy = False
        if self._pool is not None:
            self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self.close)

    def _stop_timer(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


def _call(work: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]) -> T:
    return work(*args, **kwargs)


def _prepare_process() -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this process
    lower_priority(_LOWER_BY)
