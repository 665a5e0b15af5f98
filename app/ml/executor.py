"""A bounded pool of threads for inference: so many at a time, so many waiting, one more is refused at once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from app.errors import Overloaded

P = ParamSpec("P")
T = TypeVar("T")


class InferenceExecutor:
    """Runs blocking inference beside the event loop; one per process."""

    def __init__(self, *, threads: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="inference")
        self._threads = threads
        self._limit = threads + queue
        self._admitted = 0

    @property
    def admitted(self) -> int:
        """Calls running or waiting."""
        return self._admitted

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on a thread of the pool and return its result; raises `Overloaded` when the queue is full.

        Call it from the event loop only. A cancelled caller that still waits gives its place back; one whose inference
        has begun keeps it until the thread is done, since a thread cannot be stopped.
        """
        if self._admitted >= self._limit:
            waiting = self._limit - self._threads
            raise Overloaded(f"{self._threads} inferences run and {waiting} wait, which is the limit.")
        self._admitted += 1
        loop = asyncio.get_running_loop()
        future = self._pool.submit(work, *args, **kwargs)
        future.add_done_callback(lambda _: self._release(loop))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let running inferences end, drop the waiting ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        def release() -> None:
            self._admitted -= 1

        if not loop.is_closed():
            loop.call_soon_threadsafe(release)
