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
    """Runs `work` on the items of several threads, at most `max_items` at a time; thread-safe."""

    def __init__(self, work: Callable[[Sequence[In]], list[Out]], *, max_items: int) -> None:
        self._work = work
        self._max_items = max_items
        self._waiting: deque[tuple[In, Future[Out]]] = deque()
        self._running = threading.Lock()

    def run(self, items: Sequence[In]) -> list[Out]:
        """Return the results for these items, in order.

        Raises the exception of a batch that any of them was in.
        """
        results: list[Future[Out]] = [Future() for _ in items]
        self._waiting.extend(zip(items, results, strict=True))
        # The thread that gets the lock runs batches for every waiting thread until its own items are done.
        while not all(future.done() for future in results):
            with self._running:
                if not all(future.done() for future in results):
                    self._run_batch()
        return [future.result() for future in results]

    def _run_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self._max_items, len(self._waiting)))]
        try:
            outputs = self._work([item for item, _ in batch])
        except Exception as exc:  # noqa: BLE001 - passed on to every caller in the batch
            for _, future in batch:
                future.set_exception(exc)
            return
        for (_, future), output in zip(batch, outputs, strict=True):
            future.set_result(output)
