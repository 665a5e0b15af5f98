"""Run inference on a bounded, fair pool of threads.

At most `threads` jobs run and `queue` wait; the rest raise `Overloaded`, as do jobs that cannot start before the
deadline. Tenants take turns by the time that their jobs take: a tenant with many requests, or with photos that take
long, delays its own requests, not those of others.

The threads have a lower priority than the event loop, which answers all other requests. With `has_spare`, one more
thread of a higher priority runs jobs of tenants that have no other job while all threads are busy: a tenant with single
photos does not wait until a photo of another one is done.

Background jobs, such as photos of albums, run only while no request waits, and leave one thread free as long as there
are requests. Their own threads have the lowest priority, so that they also leave the processors to running requests.
"""

import asyncio
import contextvars
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from app.errors import ClientDisconnected, Overloaded
from app.ml.fair_shares import FairShares
from app.ml.memory import is_out_of_memory
from app.telemetry import StageTimes, stage_times
from app.telemetry.spans import SpanPlace, current_place, record_span
from app.thread_priority import lower_priority

P = ParamSpec("P")
T = TypeVar("T")

_NEWEST_WEIGHT = 0.1
"""Weight of the newest inference in the moving average of durations."""
_BUSY_S = 1.0
"""How long after the last request one thread is kept free of background jobs."""
_MIN_WAIT_S = 0.001
"""Shorter waits are no spans of a trace."""
_LOWER_BY, _LOWER_SPARE_BY, _LOWER_BACKGROUND_BY = 10, 3, 19
"""By how much the priority of the threads, of the spare one, and of background jobs' threads is lowered."""


@dataclass(slots=True, eq=False)
class _Job:
    tenant: Hashable
    work: Callable[[], Any]
    result: "asyncio.Future[Any]"
    times: StageTimes | None
    place: SpanPlace | None
    """The span that waits for the job."""
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float = 0.0
    charge_s: float = 0.0
    """What the tenant was charged for the job when it started."""
    cost_s: float = 0.0
    """The time for which the job held its thread."""
    is_background: bool = False
    is_on_spare: bool = False


class InferenceExecutor:
    """Runs blocking inference on threads; create one per process and call it only from the event loop.

    `threads` jobs run at the same time, `queue` more may wait, each for at most `deadline_s` seconds. `clock` returns
    seconds and measures what the jobs cost. Without `lowers_background`, background jobs have the process's priority:
    where they are all that it does, a lower one only keeps them from idle cores.
    """

    def __init__(
        self,
        *,
        threads: int,
        queue: int,
        deadline_s: float = math.inf,
        has_spare: bool = False,
        lowers_background: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, "inference", lower_priority, (_LOWER_BY,))
        self._spare = ThreadPoolExecutor(1, "inference-spare", lower_priority, (_LOWER_SPARE_BY,))
        self._background_pool = ThreadPoolExecutor(
            threads, "inference-background", lower_priority, (_LOWER_BACKGROUND_BY if lowers_background else 0,)
        )
        self._is_spare_free = has_spare
        self._jobs = Counter[Hashable]()
        """Running jobs by tenant."""
        self._threads = threads
        self._queue = queue
        self._deadline_s = deadline_s
        self._running = 0
        self._depth = 0
        self._mean_s = 0.0
        self._waiting: dict[Hashable, deque[_Job]] = {}
        self._shares = FairShares()
        self._clock = clock
        self._background = deque[_Job]()
        self._running_background = 0
        self._requested_at = -math.inf

    @property
    def threads(self) -> int:
        return self._threads

    async def run(self, tenant: Hashable, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` for a caller without a connection that may close; see `run_for`."""
        return await self.run_for(tenant, None, work, *args, **kwargs)

    async def run_for(
        self,
        tenant: Hashable,
        disconnect: "asyncio.Future[None] | None",
        work: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work` on a thread of the pool when it is the tenant's turn, in the caller's context.

        Raises `Overloaded` if the queue is full, if the deadline passes before the job starts, or if the expected wait
        exceeds the deadline and the tenant already has a job waiting. A full queue evicts the newest job of the tenant
        with the most waiting jobs instead, if that tenant has at least two more than this one.

        `disconnect` completes when the client closes its connection; that raises `ClientDisconnected`. A cancelled or
        disconnected caller leaves the queue. A job that already runs occupies its thread until it is done, since a
        thread cannot be stopped.
        """
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().create_future()
        job = _Job(tenant, lambda: context.run(work, *args, **kwargs), future, stage_times.get(), current_place())
        self._requested_at = time.monotonic()
        if self._running < self._threads or self._takes_spare(job):
            self._start(job)
        else:
            self._enqueue(job)
        cancel = _make_canceller(job)
        if disconnect is not None:
            disconnect.add_done_callback(cancel)
        try:
            result: T = await job.result
        except (asyncio.CancelledError, ClientDisconnected):
            self._remove(job)
            raise
        finally:
            if disconnect is not None:
                disconnect.remove_done_callback(cancel)
        return result

    async def run_in_background(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on a thread that no request needs, in the caller's context; waits as long as it takes."""
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().create_future()
        job = _Job(None, lambda: context.run(work, *args, **kwargs), future, None, current_place(), is_background=True)
        self._background.append(job)
        self._start_background()
        result: T = await job.result
        return result

    def close(self) -> None:
        """Cancel the waiting jobs; running ones finish on their own."""
        for job in (*(job for jobs in self._waiting.values() for job in jobs), *self._background):
            job.result.cancel()
        self._waiting.clear()
        self._background.clear()
        self._depth = 0
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._spare.shutdown(wait=False, cancel_futures=True)
        self._background_pool.shutdown(wait=False, cancel_futures=True)

    @property
    def expected_wait_s(self) -> float:
        """The expected wait of a new job in seconds, from the average duration of recent jobs."""
        return self._mean_s * (self._depth + 1) / self._threads

    def _enqueue(self, job: _Job) -> None:
        if self.expected_wait_s > self._deadline_s and self._waiting.get(job.tenant):
            raise self._deadline_exceeded(self.expected_wait_s)
        if self._depth >= self._queue:
            self._make_room_for(job.tenant)
        self._waiting.setdefault(job.tenant, deque()).append(job)
        self._depth += 1

    def _start_background(self) -> None:
        """Start background jobs on the threads that requests leave to them: all, or all but one, at least one."""
        is_busy = time.monotonic() - self._requested_at < _BUSY_S
        limit = max(1, self._threads - 1) if is_busy else self._threads
        while self._background and self._running < self._threads and self._running_background < limit:
            job = self._background.popleft()
            if not job.result.done():
                self._running_background += 1
                self._start(job)

    def _takes_spare(self, job: _Job) -> bool:
        """Reserve the spare thread for the only job of a tenant; returns False if it has others or the thread runs."""
        if not self._is_spare_free or self._jobs[job.tenant] or job.tenant in self._waiting:
            return False
        self._is_spare_free = False
        job.is_on_spare = True
        return True

    def _start(self, job: _Job) -> None:
        self._running += not job.is_on_spare
        if not job.is_background:
            self._jobs[job.tenant] += 1
            job.charge_s = self._shares.start(job.tenant)
        job.started_at = time.monotonic()
        waited_s = job.started_at - job.queued_at
        if job.times is not None:
            job.times.add("wait", waited_s)
        if waited_s >= _MIN_WAIT_S:
            record_span("wait", waited_s, job.place)
        thread = asyncio.get_running_loop().run_in_executor(self._choose_pool(job), self._work, job)
        thread.add_done_callback(lambda done: self._finish(job, done))

    def _choose_pool(self, job: _Job) -> ThreadPoolExecutor:
        if job.is_background:
            return self._background_pool
        return self._spare if job.is_on_spare else self._pool

    def _work(self, job: _Job) -> Any:
        """Run a job on its thread, and measure for how long it holds the thread."""
        began_at = self._clock()
        try:
            return job.work()
        finally:
            job.cost_s = self._clock() - began_at

    def _finish(self, job: _Job, done: "asyncio.Future[Any]") -> None:
        self._release(job)
        if not job.is_background:
            self._note_cost(job)
        error = None if done.cancelled() else done.exception()
        if error is not None and is_out_of_memory(error):
            error = Overloaded("The server has too little memory left for this photo. Retry later.")
        if not job.result.done():
            if done.cancelled():
                job.result.cancel()
            elif error is not None:
                job.result.set_exception(error)
            else:
                job.result.set_result(done.result())
        self._start_next()
        self._start_background()
        if not self._jobs:
            self._shares.reset()

    def _note_cost(self, job: _Job) -> None:
        self._shares.finish(job.tenant, job.charge_s, job.cost_s)
        duration_s = time.monotonic() - job.started_at
        self._mean_s = duration_s if self._mean_s == 0 else self._mean_s + _NEWEST_WEIGHT * (duration_s - self._mean_s)

    def _release(self, job: _Job) -> None:
        if job.is_background:
            self._running_background -= 1
        else:
            self._jobs[job.tenant] -= 1
            if not self._jobs[job.tenant]:
                del self._jobs[job.tenant]
        if job.is_on_spare:
            self._is_spare_free = True
        else:
            self._running -= 1

    def _start_next(self) -> None:
        while self._waiting and self._running < self._threads:
            tenant = self._shares.choose(self._waiting)
            job = self._waiting[tenant].popleft()
            self._depth -= 1
            if not self._waiting[tenant]:
                del self._waiting[tenant]
            if job.result.done():
                continue
            waited_s = time.monotonic() - job.queued_at
            if waited_s > self._deadline_s:
                job.result.set_exception(self._deadline_exceeded(waited_s))
            else:
                self._start(job)

    def _make_room_for(self, tenant: Hashable) -> None:
        """Evict the newest job of the tenant with the most; raises `Overloaded` if that would not be fairer."""
        waiting = len(self._waiting.get(tenant, ()))
        heaviest = max(self._waiting, key=lambda other: len(self._waiting[other]), default=None)
        if heaviest is None or heaviest == tenant or len(self._waiting[heaviest]) <= waiting + 1:
            raise self._queue_full()
        evicted = self._waiting[heaviest].pop()
        self._depth -= 1
        if not evicted.result.done():
            evicted.result.set_exception(self._queue_full())

    def _remove(self, job: _Job) -> None:
        jobs = self._waiting.get(job.tenant)
        if jobs is not None and job in jobs:
            jobs.remove(job)
            self._depth -= 1
            if not jobs:
                del self._waiting[job.tenant]

    def _queue_full(self) -> Overloaded:
        return Overloaded(
            f"{self._threads} inferences are running and {self._queue} are waiting, which is the limit. Retry later.",
            retry_after_s=self._retry_s(),
        )

    def _deadline_exceeded(self, wait_s: float) -> Overloaded:
        shown_s = math.ceil(wait_s * 100) / 100  # rounded up, so that it exceeds the limit
        return Overloaded(
            f"The wait for an inference is {shown_s:.2f} s; the limit is {self._deadline_s:g} s. Retry later.",
            retry_after_s=self._retry_s(),
        )

    def _retry_s(self) -> int:
        """Return the seconds in which half of the waiting jobs will be done, at least 1."""
        return max(1, math.ceil(self.expected_wait_s / 2))


def _make_canceller(job: _Job) -> "Callable[[asyncio.Future[None]], None]":
    def cancel(_: "asyncio.Future[None]") -> None:
        if not job.result.done():
            job.result.set_exception(ClientDisconnected())

    return cancel
