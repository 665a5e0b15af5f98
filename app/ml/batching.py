"""Batches from calls that happen to wait at the same moment, for devices where many faces cost little more than one.

No timer: while a batch runs, others gather behind it. Under load batches grow by themselves; a lone call waits for
nobody.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Batcher(Generic[In, Out]):
    """Runs `work` for the items of several threads at once; thread-safe."""

    def __init__(self, work: Callable[[Sequence[In]], list[Out]], *, most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: deque[tuple[In, Future[Out]]] = deque()
        self._running = threading.Lock()

    def run(self, items: Sequence[In]) -> list[Out]:
        """`work` of these items, in order; raises what the batch they were in raised."""
        wanted: list[Future[Out]] = [Future() for _ in items]
        self._waiting.extend(zip(items, wanted, strict=True))
        # Whoever finds the device free works for everybody who waits, until their own are done.
        while not all(future.done() for future in wanted):
            with self._running:
                if not all(future.done() for future in wanted):
                    self._run_one()
        return [future.result() for future in wanted]

    def _run_one(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        try:
            results = self._work([item for item, _ in batch])
        except Exception as exc:  # noqa: BLE001 - handed on to everybody in the batch
            for _, future in batch:
                future.set_exception(exc)
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
