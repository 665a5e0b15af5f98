"""Compute what 1,000 photos cost where the networks run, from measured times and prices.

    python -m benchmarks.inference_costs --seconds-per-photo 0.12 --price-per-second 0.000164 --idle-s 60 \\
        --photos-per-month 100000

`--price-per-second` is that of everything that runs while a photo is analyzed: processors, GPU and memory together.
Serverless containers are also paid while they start and while they wait for another photo. A host is paid all month.
"""

import argparse
import json
import math
from dataclasses import asdict, dataclass

MONTH_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent in a month; photos of one burst are analyzed one after the other by one container."""

    photos_per_month: int
    photos_per_burst: float = 1.0
    """How many photos come with pauses shorter than the idle window, on average."""

    @property
    def bursts(self) -> float:
        """How often a container starts in a month, if each burst comes after the last one's container has ended."""
        return self.photos_per_month / self.photos_per_burst


@dataclass(frozen=True, slots=True)
class Serverless:
    """A container that is paid by the second, from its start to the end of its idle window."""

    seconds_per_photo: float
    price_per_second: float
    idle_s: float
    """How long a container waits for another photo before it ends."""
    start_s: float = 0.0
    """How long a container starts, for example from a memory snapshot; paid."""

    def __post_init__(self) -> None:
        """Refuse times and prices that are none."""
        _check(self)

    def paid_s(self, load: Load) -> float:
        """Return the paid seconds of a month; at most one container all month, or the work itself if that is more."""
        work_s = load.photos_per_month * self.seconds_per_photo
        around_s = load.bursts * (self.start_s + self.idle_s)
        return work_s + min(around_s, max(0.0, MONTH_S - work_s))

    def cost(self, load: Load) -> float:
        """Return the cost of a month."""
        return self.paid_s(load) * self.price_per_second


@dataclass(frozen=True, slots=True)
class Host:
    """A host that is paid all month, whether photos come or not; more hosts once one is too slow."""

    seconds_per_photo: float
    price_per_month: float
    utilization: float = 0.6
    """The share of its time that a host can be busy before photos wait too long."""

    def __post_init__(self) -> None:
        """Refuse times and prices that are none."""
        _check(self)
        if not 0 < self.utilization <= 1:
            raise ValueError(f"utilization is {self.utilization}; it must be above 0 and at most 1")

    def hosts(self, load: Load) -> int:
        """Return how many hosts the photos of a month need, at least one."""
        return max(1, math.ceil(load.photos_per_month * self.seconds_per_photo / (MONTH_S * self.utilization)))

    def cost(self, load: Load) -> float:
        """Return the cost of a month."""
        return self.hosts(load) * self.price_per_month


def cost_per_1000(cost: float, load: Load) -> float:
    """Return the cost of 1,000 photos; raises `ValueError` without photos."""
    if load.photos_per_month < 1:
        raise ValueError("without photos there is no cost of a photo")
    return 1000 * cost / load.photos_per_month


def break_even(serverless: Serverless, host: Host, photos_per_burst: float = 1.0) -> int | None:
    """Return from how many photos a month on one host costs no more; None if one is too slow for so many."""
    low, high = 1, 10_000_000

    def is_cheaper(photos: int) -> bool:
        return host.price_per_month <= serverless.cost(Load(photos, photos_per_burst))

    if not is_cheaper(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_cheaper(middle) else (middle + 1, high)
    return low if host.hosts(Load(low)) == 1 else None


def _check(prices: Serverless | Host) -> None:
    for name, value in asdict(prices).items():
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is {value}; it must be a number of at least 0")


def main(arguments: list[str] | None = None) -> dict[str, float | int | None]:
    """Print the costs as a table or as JSON, and return them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds-per-photo", type=float, required=True, help="measured, warm")
    parser.add_argument("--price-per-second", type=float, required=True, help="of a container with all that it has")
    parser.add_argument("--idle-s", type=float, default=60, help="the idle window of a container")
    parser.add_argument("--start-s", type=float, default=0, help="measured start of a container")
    parser.add_argument("--photos-per-month", type=int, required=True)
    parser.add_argument("--photos-per-burst", type=float, default=1, help="with pauses shorter than the idle window")
    parser.add_argument("--host-price", type=float, help="of a host for a month, to compare with")
    parser.add_argument("--host-seconds-per-photo", type=float, help="measured there; default: as above")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    load = Load(options.photos_per_month, options.photos_per_burst)
    serverless = Serverless(options.seconds_per_photo, options.price_per_second, options.idle_s, options.start_s)
    costs: dict[str, float | int | None] = {
        "photos_per_month": load.photos_per_month,
        "paid_s": round(serverless.paid_s(load), 1),
        "cost_per_month": round(serverless.cost(load), 4),
        "cost_per_1000": round(cost_per_1000(serverless.cost(load), load), 6),
    }
    if options.host_price is not None:
        host = Host(options.host_seconds_per_photo or options.seconds_per_photo, options.host_price)
        costs |= {
            "hosts": host.hosts(load),
            "host_cost_per_1000": round(cost_per_1000(host.cost(load), load), 6),
            "host_is_cheaper_from": break_even(serverless, host, load.photos_per_burst),
        }
    if options.json:
        print(json.dumps(costs))
    else:
        for name, value in costs.items():
            print(f"{name:<22} {value if value is not None else '-'}")
    return costs


if __name__ == "__main__":
    main()
