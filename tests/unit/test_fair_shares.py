"""Turns of tenants by the time that their jobs take: the same order every time, since the clock is the jobs' own."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from app.ml.executor import InferenceExecutor
from app.ml.fair_shares import FairShares


def play(costs: dict[str, float], turns: int, shares: FairShares | None = None) -> list[str]:
    """The tenants in the order of their turns, one job at a time, while all of them always have one waiting."""
    shares, order = shares or FairShares(), list[str]()
    for _ in range(turns):
        tenant = str(shares.choose(costs))
        charge_s = shares.start(tenant)
        shares.finish(tenant, charge_s, costs[tenant])
        order.append(tenant)
    return order


def test_equal_tenants_alternate() -> None:
    assert play({"a": 0.1, "b": 0.1, "c": 0.1}, 6) == ["a", "b", "c", "a", "b", "c"]


@pytest.mark.parametrize("factor", [2, 10, 100])
def test_each_tenant_gets_the_same_time_whatever_its_jobs_cost(factor: int) -> None:
    costs = {"large": 0.05 * factor, "small": 0.05}
    turns = Counter(play(costs, 20 * (factor + 1)))
    assert turns["large"] == pytest.approx(20, abs=1)
    assert turns["small"] / turns["large"] == pytest.approx(factor, rel=0.1)


def test_a_large_job_is_followed_by_as_much_time_for_the_others() -> None:
    order = play({"large": 0.5, "small": 0.125}, 12)
    assert order == ["large", *["small"] * 4, "large", *["small"] * 4, "large", "small"]


def test_who_was_away_saves_up_nothing_and_owes_nothing_to_newcomers() -> None:
    shares = FairShares()
    play({"a": 0.1, "b": 0.1}, 4, shares)
    play({"a": 0.1}, 50, shares)  # only a has work
    assert Counter(play({"a": 0.1, "b": 0.1}, 10, shares))["b"] in (5, 6)
    assert Counter(play({"a": 0.1, "b": 0.1, "new": 0.1}, 12, shares))["new"] in (4, 5)


def test_jobs_that_still_run_count_for_the_next_choice() -> None:
    """Several threads: who holds one does not get the next as well while another waits."""
    shares = FairShares()
    first = [(tenant, shares.start(tenant)) for tenant in ("a", "a")]
    assert shares.choose(["a", "b"]) == "b"
    for tenant, charge_s in first:
        shares.finish(tenant, charge_s, 1.0)
    shares.start("b")
    # The costs of a are known by now: its next job is charged with them at once.
    assert shares.start("a") == pytest.approx(1.0)
    assert [shares.choose(["a", "b"]) for _ in range(3)] == ["b"] * 3


def test_jobs_that_cost_nothing_take_turns_as_well() -> None:
    assert play({"a": 0.0, "b": 0.0}, 6) == ["a", "b", "a", "b", "a", "b"]


def test_an_idle_pool_forgets_who_used_how_much() -> None:
    shares = FairShares()
    play({"large": 10.0}, 3, shares)
    assert shares.choose(["large", "new"]) == "new"
    shares.reset()
    assert shares.choose(["large", "new"]) == "large"  # the first of equals


def test_few_tenants_are_remembered() -> None:
    shares = FairShares()
    for number in range(25_000):
        shares.finish(number, shares.start(number), 0.01)
    assert max(len(shares._used_s), len(shares._mean_s)) == 10_000


class Clock:
    """Time that passes only as jobs let it pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def job(self, order: list[str], tenant: str, cost_s: float) -> Callable[[], None]:
        def work() -> None:
            order.append(tenant)
            self.now += cost_s

        return work


async def test_the_pool_charges_what_a_job_took() -> None:
    """Ten 50-megapixel photos of one tenant beside forty small ones of another: each gets half of the time."""
    clock, gate, order = Clock(), threading.Event(), list[str]()
    executor = InferenceExecutor(threads=1, queue=60, clock=clock)
    first = asyncio.create_task(executor.run("other", gate.wait))
    await asyncio.sleep(0)
    jobs = [
        asyncio.create_task(executor.run(tenant, clock.job(order, tenant, cost_s)))
        for tenant, cost_s, number in (("large", 1.0, 10), ("small", 0.125, 40))
        for _ in range(number)
    ]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *jobs)
    assert order[:19] == ["large", *["small"] * 8, "large", *["small"] * 8, "large"]
    assert Counter(order[:45]) == {"large": 5, "small": 40}
    executor.close()


async def test_a_job_that_fails_is_charged_as_well() -> None:
    clock, gate, order = Clock(), threading.Event(), list[str]()
    executor = InferenceExecutor(threads=1, queue=20, clock=clock)

    def fail() -> None:
        clock.job(order, "failing", 0.5)()
        raise ZeroDivisionError

    first = asyncio.create_task(executor.run("other", gate.wait))
    await asyncio.sleep(0)
    jobs = [asyncio.create_task(executor.run("failing", fail)) for _ in range(2)]
    jobs += [asyncio.create_task(executor.run("working", clock.job(order, "working", 0.125))) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *jobs, return_exceptions=True)
    assert order == ["failing", *["working"] * 4, "failing", "working"]
    executor.close()
