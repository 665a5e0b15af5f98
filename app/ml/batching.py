"""Combine concurrent calls into batches, for devices where many faces cost little more than one.

There is no timer: items that arrive while a batch runs form the next one. Batches grow with the load, and a single call
never waits.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Batcher(Generic[In, Out]):
    """Runs `work` on the items of several threads, at most `max_items` at a time; thread-safe.

    At most `max_parallel` batches run at the same time.
    """

    def __init__(self, work: Callable[[Sequence[In]], list[Out]], *, max_items: int, max_parallel: int = 1) -> None:
        self._work = work
        self._max_items = max_items
        self._waiting: deque[tuple[In, Future[Out]]] = deque()
        self._free = max_parallel
        self._changed = threading.Condition()

    def run(self, items: Sequence[In]) -> list[Out]:
        """Return the results for these items, in order.

        Raises the exception of a batch that any of them was in.
        """
        results: list[Future[Out]] = [Future() for _ in items]
        with self._changed:
            self._waiting.extend(zip(items, results, strict=True))
        # Each thread runs batches, also of other threads' items, until its own items are done.
        while batch := self._take_batch(results):
            try:
                self._run_batch(batch)
            finally:
                with self._changed:
                    self._free += 1
                    self._changed.notify_all()
        return [future.result() for future in results]

    def _take_batch(self, results: Sequence[Future[Out]]) -> list[tuple[In, Future[Out]]]:
        """Wait for the next batch that may run; empty as soon as the results are there."""
        with self._changed:
            while not all(future.done() for future in results):
                if self._waiting and self._free:
                    self._free -= 1
                    return [self._waiting.popleft() for _ in range(min(self._max_items, len(self._waiting)))]
                self._changed.wait()
        return []

    def _run_batch(self, batch: Sequence[tuple[In, Future[Out]]]) -> None:
        try:
            outputs = self._work([item for item, _ in batch])
        except Exception as exc:  # noqa: BLE001 - passed on to every caller in the batch
            for _, future in batch:
                future.set_exception(exc)
            return
        for (_, future), output in zip(batch, outputs, strict=True):
            future.set_result(output)
