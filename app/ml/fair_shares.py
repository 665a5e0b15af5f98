"""Share inference threads among tenants by the time that their jobs take, not by the number of jobs.

This is start-time fair queueing. Each tenant has a virtual time: the seconds that its jobs have taken. The tenant with
the lowest one is next, so that a tenant whose photos take ten times as long gets a tenth of the turns. A tenant that
returns continues at the current virtual time: nobody saves up turns while idle.
"""

from collections.abc import Hashable, Iterable

_MIN_COST_S = 0.001
"""The cost that a job is charged with at least, so that turns pass on between tenants with tiny jobs as well."""
_NEWEST_WEIGHT = 0.3
"""Weight of the newest job in the moving average of a tenant's costs."""
_REMEMBERED_TENANTS = 10_000


class FairShares:
    """Choose the tenant whose turn it is; use it from one thread only.

    A job is charged when it starts, with the mean cost of the tenant's jobs, and corrected when it finishes. Jobs that
    run at the same time therefore count for the next choice.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._used_s: dict[Hashable, float] = {}
        self._mean_s: dict[Hashable, float] = {}

    def choose(self, waiting: Iterable[Hashable]) -> Hashable:
        """Return the waiting tenant with the lowest virtual time; of equal ones the one that used less, then the first.

        Raises `ValueError` if nobody waits.
        """
        return min(waiting, key=lambda tenant: (self._start_of(tenant), self._used_s.get(tenant, 0.0)))

    def start(self, tenant: Hashable) -> float:
        """Charge a tenant for a job that starts; returns the charge in seconds, which `finish` takes back."""
        self._now = self._start_of(tenant)
        charge_s = max(self._mean_s.get(tenant, 0.0), _MIN_COST_S)
        _set_newest(self._used_s, tenant, self._now + charge_s)
        return charge_s

    def finish(self, tenant: Hashable, charge_s: float, cost_s: float) -> None:
        """Replace the charge of a job by its cost in seconds."""
        cost_s = max(cost_s, _MIN_COST_S)
        if tenant in self._used_s:
            self._used_s[tenant] += cost_s - charge_s
        mean_s = self._mean_s.get(tenant, cost_s)
        _set_newest(self._mean_s, tenant, mean_s + _NEWEST_WEIGHT * (cost_s - mean_s))

    def reset(self) -> None:
        """Forget who used how much; call it when nothing runs and nobody waits."""
        self._now = 0.0
        self._used_s.clear()

    def _start_of(self, tenant: Hashable) -> float:
        return max(self._used_s.get(tenant, 0.0), self._now)


def _set_newest(values: dict[Hashable, float], tenant: Hashable, value: float) -> None:
    """Set a value and move it to the end; forget the oldest one of too many."""
    values.pop(tenant, None)
    values[tenant] = value
    if len(values) > _REMEMBERED_TENANTS:
        del values[next(iter(values))]
