"""A bounded, fair pool of threads for inference.

So many run at a time, so many wait, one more is refused at once. Tenants take turns: who floods waits behind their own
requests, not in front of everybody else's.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from app.errors import Overloaded

P = ParamSpec("P")
T = TypeVar("T")

_REMEMBERED_TENANTS = 10_000


@dataclass(slots=True, eq=False)
class _Job:
    tenant: Hashable
    work: Callable[[], Any]
    result: "asyncio.Future[Any]"


class InferenceExecutor:
    """Runs blocking inference beside the event loop; one per process, used from its loop only."""

    def __init__(self, *, threads: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="inference")
        self._threads = threads
        self._queue = queue
        self._running = 0
        self._waiting: dict[Hashable, deque[_Job]] = {}
        # When each tenant last had its turn, as a count of turns; who never had one comes first.
        self._turn = 0
        self._last_turn: dict[Hashable, int] = {}

    @property
    def admitted(self) -> int:
        """Calls running or waiting."""
        return self._running + self._depth

    async def run(self, tenant: Hashable, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on a thread of the pool when it is the tenant's turn; raises `Overloaded` when the queue is full.

        A full queue makes room for a tenant with less in it than the one with most, whose newest call is refused then.
        A cancelled caller that still waits gives its place back; one whose inference has begun keeps it until the
        thread is done, since a thread cannot be stopped.
        """
        job = _Job(tenant, lambda: work(*args, **kwargs), asyncio.get_running_loop().create_future())
        if self._running < self._threads:
            self._start(job)
        else:
            if self._depth >= self._queue:
                self._make_room_for(tenant)
            self._waiting.setdefault(tenant, deque()).append(job)
        try:
            result: T = await job.result
        except asyncio.CancelledError:
            self._withdraw(job)
            raise
        return result

    def close(self) -> None:
        """Drop the waiting inferences; running ones end by themselves."""
        for jobs in self._waiting.values():
            for job in jobs:
                job.result.cancel()
        self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def _depth(self) -> int:
        return sum(len(jobs) for jobs in self._waiting.values())

    def _start(self, job: _Job) -> None:
        self._running += 1
        self._note_turn(job.tenant)
        thread = asyncio.get_running_loop().run_in_executor(self._pool, job.work)
        thread.add_done_callback(lambda done: self._finish(job, done))

    def _finish(self, job: _Job, done: "asyncio.Future[Any]") -> None:
        self._running -= 1
        error = None if done.cancelled() else done.exception()
        if not job.result.done():
            if done.cancelled():
                job.result.cancel()
            elif error is not None:
                job.result.set_exception(error)
            else:
                job.result.set_result(done.result())
        self._start_next()

    def _start_next(self) -> None:
        while self._waiting and self._running < self._threads:
            tenant = min(self._waiting, key=lambda other: self._last_turn.get(other, 0))
            job = self._waiting[tenant].popleft()
            if not self._waiting[tenant]:
                del self._waiting[tenant]
            if not job.result.done():
                self._start(job)

    def _note_turn(self, tenant: Hashable) -> None:
        self._turn += 1
        self._last_turn.pop(tenant, None)
        self._last_turn[tenant] = self._turn  # at the end: the dictionary is ordered by turns
        if len(self._last_turn) > _REMEMBERED_TENANTS:
            del self._last_turn[next(iter(self._last_turn))]

    def _make_room_for(self, tenant: Hashable) -> None:
        own = len(self._waiting.get(tenant, ()))
        heaviest = max(self._waiting, key=lambda other: len(self._waiting[other]), default=None)
        if heaviest is None or heaviest == tenant or len(self._waiting[heaviest]) <= own + 1:
            raise self._overloaded()
        evicted = self._waiting[heaviest].pop()
        if not evicted.result.done():
            evicted.result.set_exception(self._overloaded())

    def _withdraw(self, job: _Job) -> None:
        jobs = self._waiting.get(job.tenant)
        if jobs is not None and job in jobs:
            jobs.remove(job)
            if not jobs:
                del self._waiting[job.tenant]

    def _overloaded(self) -> Overloaded:
        return Overloaded(f"{self._threads} inferences run and {self._queue} wait, which is the limit.")
