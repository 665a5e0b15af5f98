"""The cost model of inference elsewhere, against sums by hand."""

import json

import pytest

from benchmarks.inference_costs import MONTH_S, Host, Load, Serverless, break_even, cost_per_1000, main


def test_a_photo_alone_pays_for_start_work_and_idle_window() -> None:
    serverless = Serverless(seconds_per_photo=0.5, price_per_second=0.01, idle_s=60, start_s=2)
    assert serverless.paid_s(Load(10)) == pytest.approx(10 * 62.5)
    assert cost_per_1000(serverless.cost(Load(10)), Load(10)) == pytest.approx(625)


def test_photos_of_a_burst_share_start_and_idle_window() -> None:
    serverless = Serverless(seconds_per_photo=0.5, price_per_second=0.01, idle_s=60, start_s=2)
    assert serverless.paid_s(Load(1000, photos_per_burst=100)) == pytest.approx(500 + 10 * 62)


def test_nobody_pays_for_more_idle_time_than_a_month_has() -> None:
    serverless = Serverless(seconds_per_photo=0.1, price_per_second=0.01, idle_s=60)
    assert serverless.paid_s(Load(1_000_000)) == MONTH_S


def test_more_work_than_a_month_is_paid_as_work() -> None:
    serverless = Serverless(seconds_per_photo=1, price_per_second=0.01, idle_s=60)
    assert serverless.paid_s(Load(10_000_000)) == 10_000_000


def test_without_idle_window_only_the_work_is_paid() -> None:
    serverless = Serverless(seconds_per_photo=0.2, price_per_second=0.0001, idle_s=0)
    for photos in (1, 1000, 1_000_000):
        assert cost_per_1000(serverless.cost(Load(photos)), Load(photos)) == pytest.approx(0.02)


def test_a_host_costs_the_same_until_a_second_one_is_needed() -> None:
    host = Host(seconds_per_photo=1, price_per_month=100, utilization=0.5)
    full = MONTH_S // 2
    assert host.cost(Load(0)) == host.cost(Load(full)) == 100
    assert host.cost(Load(full + 1)) == 200


def test_the_break_even_is_the_first_number_where_the_host_is_no_dearer() -> None:
    serverless, host = Serverless(0.1, 0.001, idle_s=10), Host(0.1, 50)
    photos = break_even(serverless, host)
    assert photos is not None
    assert host.cost(Load(photos)) <= serverless.cost(Load(photos))
    assert host.cost(Load(photos - 1)) > serverless.cost(Load(photos - 1))


def test_a_host_that_is_never_cheaper_has_no_break_even() -> None:
    assert break_even(Serverless(0.001, 0.0000001, idle_s=0), Host(0.001, 1000)) is None
    too_slow = Host(seconds_per_photo=10, price_per_month=500)
    assert break_even(Serverless(0.001, 0.001, idle_s=0), too_slow) is None


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="seconds_per_photo"):
        Serverless(value, 0.1, 60)
    with pytest.raises(ValueError, match="price_per_month"):
        Host(1, value)
    with pytest.raises(ValueError, match="utilization"):
        Host(1, 1, utilization=0)


def test_without_photos_there_is_no_price_of_one() -> None:
    with pytest.raises(ValueError, match="without photos"):
        cost_per_1000(1, Load(0))


def test_the_script_prints_what_it_returns(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seconds-per-photo", "0.1", "--price-per-second", "0.0002", "--idle-s", "20", "--host-price", "40"]
    costs = main([*arguments, "--photos-per-month", "10000", "--photos-per-burst", "50", "--json"])
    assert json.loads(capsys.readouterr().out) == costs
    assert costs["cost_per_1000"] == pytest.approx(1000 * (1000 + 200 * 20) * 0.0002 / 10_000)
    assert costs["hosts"] == 1
    main([*arguments, "--photos-per-month", "10000"])
    assert "cost_per_1000" in capsys.readouterr().out
