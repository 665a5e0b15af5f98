"""Wait, lock and work in several threads; its async twin uses tasks."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

Lock = threading.Lock
sleep = time.sleep


def in_thread(work: Callable[[T], R], item: T) -> R:
    """Call what blocks."""
    return work(item)


def run_all(work: Callable[[T], None], items: Iterable[T], at_once: int) -> None:
    """Work on all items, `at_once` at a time. The first error ends the rest and is raised."""
    pool = ThreadPoolExecutor(at_once)
    try:
        for one in as_completed([pool.submit(work, item) for item in items]):
            one.result()
    finally:
        pool.shutdown(cancel_futures=True)
