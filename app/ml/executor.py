"""A bounded, fair pool of threads for inference.

So many run at a time, so many wait, one more is refused at once; so is who could not begin before the deadline. Tenants
take turns: who floods waits behind their own requests, not in front of everybody else's.
"""

import asyncio
import contextvars
import math
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from app.errors import ClientDisconnected, Overloaded
from app.telemetry import StageTimes, stage_times

P = ParamSpec("P")
T = TypeVar("T")

_REMEMBERED_TENANTS = 10_000
_RECENT = 0.1
"""How much the newest inference counts in the mean of the recent ones."""


@dataclass(slots=True, eq=False)
class _Job:
    tenant: Hashable
    work: Callable[[], Any]
    result: "asyncio.Future[Any]"
    times: StageTimes | None
    began_waiting: float = field(default_factory=time.monotonic)
    started: float = 0.0


class InferenceExecutor:
    """Runs blocking inference beside the event loop; one per process, used from its loop only."""

    def __init__(self, *, threads: int, queue: int, deadline_s: float = math.inf) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="inference")
        self._threads = threads
        self._queue = queue
        self._deadline_s = deadline_s
        self._running = 0
        self._depth = 0
        self._mean_s = 0.0
        self._waiting: dict[Hashable, deque[_Job]] = {}
        # When each tenant last had its turn, as a count of turns; who never had one comes first.
        self._turn = 0
        self._last_turn: dict[Hashable, int] = {}

    @property
    def threads(self) -> int:
        """How many run at a time."""
        return self._threads

    async def run(self, tenant: Hashable, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on behalf of a caller who stays; see `run_for`."""
        return await self.run_for(tenant, None, work, *args, **kwargs)

    async def run_for(
        self,
        tenant: Hashable,
        departed: "asyncio.Future[None] | None",
        work: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work` on a thread of the pool when it is the tenant's turn, in the caller's context.

        Raises `Overloaded` when the queue is full, when the work ahead takes longer than the deadline, or when the
        deadline passed before a turn came; a full queue makes room for a tenant with less in it than the one with
        most, whose newest call is refused then. A caller that is cancelled or `departed` while it waits gives its
        place back (`ClientDisconnected`); one whose inference has begun keeps it until the thread is done, since a
        thread cannot be stopped.
        """
        context = contextvars.copy_context()
        result_later = asyncio.get_running_loop().create_future()
        job = _Job(tenant, lambda: context.run(work, *args, **kwargs), result_later, stage_times.get())
        if self._running < self._threads:
            self._start(job)
        else:
            self._queue_up(job)
        leave = _leaving(job)
        if departed is not None:
            departed.add_done_callback(leave)
        try:
            result: T = await job.result
        except (asyncio.CancelledError, ClientDisconnected):
            self._withdraw(job)
            raise
        finally:
            if departed is not None:
                departed.remove_done_callback(leave)
        return result

    def close(self) -> None:
        """Drop the waiting inferences; running ones end by themselves."""
        for jobs in self._waiting.values():
            for job in jobs:
                job.result.cancel()
        self._waiting.clear()
        self._depth = 0
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def expected_wait_s(self) -> float:
        """How long one that came now would wait for its turn, by the mean of the recent inferences."""
        return self._mean_s * (self._depth + 1) / self._threads

    def _queue_up(self, job: _Job) -> None:
        if self.expected_wait_s > self._deadline_s and self._waiting.get(job.tenant):
            raise self._too_late(self.expected_wait_s)
        if self._depth >= self._queue:
            self._make_room_for(job.tenant)
        self._waiting.setdefault(job.tenant, deque()).append(job)
        self._depth += 1

    def _start(self, job: _Job) -> None:
        self._running += 1
        self._note_turn(job.tenant)
        job.started = time.monotonic()
        if job.times is not None:
            job.times.add("wait", job.started - job.began_waiting)
        thread = asyncio.get_running_loop().run_in_executor(self._pool, job.work)
        thread.add_done_callback(lambda done: self._finish(job, done))

    def _finish(self, job: _Job, done: "asyncio.Future[Any]") -> None:
        self._running -= 1
        took_s = time.monotonic() - job.started
        self._mean_s = took_s if self._mean_s == 0 else self._mean_s + _RECENT * (took_s - self._mean_s)
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
            self._depth -= 1
            if not self._waiting[tenant]:
                del self._waiting[tenant]
            if job.result.done():
                continue
            waited_s = time.monotonic() - job.began_waiting
            if waited_s > self._deadline_s:
                job.result.set_exception(self._too_late(waited_s))
            else:
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
            raise self._full()
        evicted = self._waiting[heaviest].pop()
        self._depth -= 1
        if not evicted.result.done():
            evicted.result.set_exception(self._full())

    def _withdraw(self, job: _Job) -> None:
        jobs = self._waiting.get(job.tenant)
        if jobs is not None and job in jobs:
            jobs.remove(job)
            self._depth -= 1
            if not jobs:
                del self._waiting[job.tenant]

    def _full(self) -> Overloaded:
        return Overloaded(
            f"{self._threads} inferences run and {self._queue} wait, which is the limit.", retry_after_s=self._retry_s()
        )

    def _too_late(self, wait_s: float) -> Overloaded:
        return Overloaded(
            f"The wait for an inference is {wait_s:.1f} s; the limit is {self._deadline_s:g} s.",
            retry_after_s=self._retry_s(),
        )

    def _retry_s(self) -> int:
        """When half of what waits now will be done."""
        return max(1, math.ceil(self.expected_wait_s / 2))


def _leaving(job: _Job) -> "Callable[[asyncio.Future[None]], None]":
    def leave(_: "asyncio.Future[None]") -> None:
        if not job.result.done():
            job.result.set_exception(ClientDisconnected())

    return leave
