"""The inference pool: bounded, refusing, forgiving of callers who leave."""

import asyncio
import threading

import pytest

from app.errors import Overloaded
from app.ml.executor import InferenceExecutor


async def test_one_more_than_the_queue_holds_is_refused_at_once() -> None:
    executor, gate = InferenceExecutor(threads=1, queue=2), threading.Event()
    running = [asyncio.create_task(executor.run(gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await executor.run(gate.wait)
    assert refused.value.retry_after_s == 1
    gate.set()
    assert await asyncio.gather(*running) == [True] * 3
    assert await executor.run(lambda: "again") == "again"
    executor.close()


async def test_a_waiting_caller_who_leaves_gives_the_place_back() -> None:
    executor, gate = InferenceExecutor(threads=1, queue=1), threading.Event()
    first = asyncio.create_task(executor.run(gate.wait))
    waiting = asyncio.create_task(executor.run(gate.wait))
    await asyncio.sleep(0.01)
    assert executor.admitted == 2
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0.01)
    assert executor.admitted == 1
    gate.set()
    assert await first
    executor.close()


async def test_an_error_of_the_work_reaches_the_caller_and_frees_the_place() -> None:
    executor = InferenceExecutor(threads=1, queue=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await executor.run(lambda: 1 / 0)
        await asyncio.sleep(0.01)
    executor.close()
