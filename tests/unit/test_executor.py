"""The inference pool: bounded, fair, refusing, forgiving of callers who leave."""

import asyncio
import os
import sys
import threading
import time
from contextvars import ContextVar

import pytest

from app.errors import ClientDisconnected, Overloaded
from app.ml.executor import InferenceExecutor
from tests.inference import under_way


async def test_one_more_than_the_queue_holds_is_refused_at_once() -> None:
    executor, gate = InferenceExecutor(threads=1, queue=2), threading.Event()
    running = [asyncio.create_task(executor.run("a", gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await executor.run("a", gate.wait)
    assert refused.value.retry_after_s == 1
    gate.set()
    assert await asyncio.gather(*running) == [True] * 3
    assert await executor.run("a", lambda: "again") == "again"
    executor.close()


async def test_tenants_take_turns_however_many_calls_one_of_them_has_waiting() -> None:
    executor = InferenceExecutor(threads=1, queue=60, clock=lambda: 0.0)  # every call costs the same
    gate, order = threading.Event(), list[str]()
    first = asyncio.create_task(executor.run("flood", gate.wait))
    flood = [asyncio.create_task(executor.run("flood", order.append, "flood")) for _ in range(50)]
    await asyncio.sleep(0)
    light = [asyncio.create_task(executor.run(name, order.append, name)) for name in ("light", "light", "other")]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *flood, *light)
    # Who had no turn yet comes first, then everybody in turn.
    assert order[:5] == ["light", "other", "flood", "light", "flood"]
    assert order.count("flood") == 50
    executor.close()


async def test_a_full_queue_makes_room_for_whoever_has_less_in_it() -> None:
    executor, gate = InferenceExecutor(threads=1, queue=4), threading.Event()
    flood = [asyncio.create_task(executor.run("flood", gate.wait)) for _ in range(5)]
    await asyncio.sleep(0)
    light = asyncio.create_task(executor.run("light", lambda: "served"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await executor.run("flood", gate.wait)
    gate.set()
    assert await light == "served"
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert [isinstance(result, Overloaded) for result in results] == [False] * 4 + [True]
    executor.close()


async def test_a_waiting_caller_who_leaves_gives_the_place_back() -> None:
    executor, gate = InferenceExecutor(threads=1, queue=1), threading.Event()
    first = asyncio.create_task(executor.run("a", gate.wait))
    waiting = asyncio.create_task(executor.run("a", gate.wait))
    await asyncio.sleep(0.01)
    assert under_way(executor) == 2
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert under_way(executor) == 1
    gate.set()
    assert await first
    executor.close()


async def test_a_caller_who_leaves_while_it_runs_frees_the_thread_when_it_is_done() -> None:
    executor, gate = InferenceExecutor(threads=1, queue=1), threading.Event()
    running = asyncio.create_task(executor.run("a", gate.wait))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert under_way(executor) == 1
    gate.set()
    assert await executor.run("a", lambda: "next") == "next"
    executor.close()


async def test_an_error_of_the_work_reaches_the_caller_and_frees_the_place() -> None:
    executor = InferenceExecutor(threads=1, queue=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await executor.run("a", lambda: 1 / 0)
    assert under_way(executor) == 0
    executor.close()


async def test_who_would_wait_beyond_the_deadline_is_refused_at_once() -> None:
    executor = InferenceExecutor(threads=1, queue=50, deadline_s=0.05)
    await executor.run("a", time.sleep, 0.2)  # how long one takes is known from here on
    first = asyncio.create_task(executor.run("a", time.sleep, 0.2))
    second = asyncio.create_task(executor.run("a", time.sleep, 0.2))
    await asyncio.sleep(0)
    began = time.monotonic()
    with pytest.raises(Overloaded, match=r"the limit is 0\.05 s") as refused:
        await executor.run("a", time.sleep, 0.2)
    assert time.monotonic() - began < 0.1
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 1
    await first
    # The second was let in, since its tenant had nothing waiting; its turn came too late to be of use.
    with pytest.raises(Overloaded):
        await second
    assert under_way(executor) == 0
    executor.close()


async def test_a_caller_whose_connection_closed_gives_the_place_back() -> None:
    executor, gate = InferenceExecutor(threads=1, queue=1), threading.Event()
    first = asyncio.create_task(executor.run("a", gate.wait))
    departed = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(executor.run_for("a", departed, gate.wait))
    await asyncio.sleep(0.01)
    assert under_way(executor) == 2
    departed.set_result(None)
    with pytest.raises(ClientDisconnected):
        await waiting
    assert under_way(executor) == 1
    gate.set()
    assert await first
    assert await executor.run_for("a", asyncio.get_running_loop().create_future(), lambda: "next") == "next"
    executor.close()


async def test_work_runs_in_its_callers_context() -> None:
    executor, seen = InferenceExecutor(threads=2, queue=4), ContextVar[str]("seen")

    async def call(name: str) -> str:
        seen.set(name)
        return await executor.run(name, seen.get)

    assert await asyncio.gather(*(call(name) for name in "abcdef")) == list("abcdef")
    executor.close()


async def test_the_spare_thread_serves_a_tenant_without_other_jobs() -> None:
    executor, gate = InferenceExecutor(threads=1, queue=4, has_spare=True), threading.Event()
    try:
        heavy = [asyncio.ensure_future(executor.run("heavy", gate.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        assert await executor.run("light", lambda: "done") == "done"  # while the only thread is busy
        assert not any(job.done() for job in heavy)
        assert executor._running == 1
        assert executor._depth == 2  # the spare thread takes no further job of a tenant
        gate.set()
        assert all(await asyncio.gather(*heavy))
    finally:
        gate.set()
        executor.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
async def test_inference_threads_have_a_lower_priority_than_the_event_loop() -> None:
    executor = InferenceExecutor(threads=1, queue=1)
    try:
        priority = await executor.run(None, lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert priority == min(19, os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) + 10)
    finally:
        executor.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
@pytest.mark.parametrize("lowers", [True, False])
async def test_background_jobs_give_way_only_where_requests_are_answered(lowers: bool) -> None:
    executor = InferenceExecutor(threads=1, queue=1, lowers_background=lowers)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    try:
        found = await executor.run_in_background(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert found == (19 if lowers else own)
    finally:
        executor.close()
