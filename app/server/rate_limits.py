"""Apply rate limits with slowapi's limiter, before a body is read and without blocking the event loop.

slowapi's own decorators and middleware do not fit: they run after the body was parsed, block the event loop on their
storage, and key by path, so that every id in a path has its own counter (docs/decisions/0010).
"""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from slowapi import Limiter
from slowapi.util import get_remote_address

from app.errors import NotReady, RateLimited
from app.permissions import DEFAULT_RATE, UNLIMITED, Permission, Plan, Principal, Quota
from app.persistence.connections.database import Database
from app.persistence.rate_counters import SCHEME, PostgresRateCounters
from app.persistence.repositories.hot_queries import CountedRequest, HotQueries, RateWindow
from app.services.tenancy.quotas import count_recognition, quota_exceeded
from app.setting_formats import check_rate
from app.telemetry import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """The result of counting one request against one limit."""

    is_admitted: bool
    item: RateLimitItem
    remaining: int
    reset_s: int

    def headers(self, name: str) -> dict[str, str]:
        """Return the headers `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-09)."""
        return {
            "ratelimit": f'"{name}";r={self.remaining};t={self.reset_s}',
            "ratelimit-policy": f'"{name}";q={self.item.amount};w={self.item.get_expiry()}',
        }


class RateLimiter:
    """Counts requests across all workers and hosts, in Redis if configured and otherwise in PostgreSQL."""

    def __init__(self, database: Database, redis_url: str | None, *, public_rate: str) -> None:
        self._database = database
        options = {} if redis_url else {"database": database}
        assert PostgresRateCounters.STORAGE_SCHEME  # importing it registers the scheme
        self._limiter = Limiter(
            key_func=get_remote_address,
            storage_uri=redis_url or f"{SCHEME}://",
            storage_options=options,  # type: ignore[arg-type]
            strategy="fixed-window",
        )
        self._public_rate = public_rate
        self._storage_errors: tuple[type[Exception], ...] = (
            StorageError,
            TimeoutError,
            OSError,
            *_redis_errors(redis_url),
        )

    async def admit_principal(
        self, principal: Principal, permission: Permission, *, calls: int = 1, recognitions: int = 0
    ) -> dict[str, str]:
        """Count `calls` of a tenant's request against its plan's rate, and recognitions against its quota.

        Returns the rate-limit headers, none without a limit. Raises `RateLimited`, `QuotaExceeded`, or `NotReady` if
        the counters are unavailable.
        """
        rate = principal.plan.rate(permission)
        counted = _describe_counted(principal.tenant_id, principal.plan, permission, calls)
        if self.counts_in_database:
            return await self._admit_at_once(rate, counted, principal, recognitions)
        headers = await self._admit(rate, counted) if rate != UNLIMITED else {}
        if recognitions:
            await count_recognition(self._database, principal, recognitions)
        return headers

    async def admit_address(self, address: str, name: str) -> dict[str, str]:
        """Count an unauthenticated request from an address against the public rate; `name` separates the counters.

        Returns the rate-limit headers. Raises `RateLimited`, or `NotReady` if the counters are unavailable.
        """
        counted = _Counted(name, f"address:{address}", "An address may send", "")
        return await self._admit(self._public_rate, counted)

    async def admit_link(self, link_id: UUID, rate: str) -> dict[str, str]:
        """Count a guest's search against the rate of the link; returns and raises as `admit_address`."""
        if rate == UNLIMITED:
            return {}
        return await self._admit(rate, _Counted("guests", f"link:{link_id}", "Guests with this link may send", ""))

    async def _admit(self, rate: str, counted: "_Counted") -> dict[str, str]:
        admissions = []
        try:
            # Count shorter windows first and stop at a refusal: refused requests must not use up a daily limit.
            for item in _parse(rate, counted.name):
                admissions.append(await self._hit_without_blocking(item, counted.name, counted.caller, counted.calls))
                if not admissions[-1].is_admitted:
                    break
        except self._storage_errors as exc:
            raise NotReady("The storage of the rate limit counters is not responding.") from exc
        return counted.judge(admissions)

    async def _admit_at_once(
        self,
        rate: str,
        counted: "_Counted",
        principal: Principal,
        recognitions: int,
    ) -> dict[str, str]:
        """Count all windows and the quota in one statement."""
        windows = _list_windows(rate, counted)
        if not windows and not recognitions:
            return {}
        quota = principal.plan.quota(Quota.RECOGNITIONS)
        await self.sweep_sometimes()
        queries = HotQueries(self._database, principal.tenant_id)
        result = await queries.count_request(windows, counted.calls, quota, recognitions)
        return self._judge(rate, counted, result, principal.plan, recognitions)

    @property
    def counts_in_database(self) -> bool:
        """Whether requests can be counted together with other work in the database."""
        return isinstance(self._limiter.limiter.storage, PostgresRateCounters)

    async def sweep_sometimes(self) -> None:
        """Delete old counters once in a few hundred calls."""
        counters = self._limiter.limiter.storage
        if isinstance(counters, PostgresRateCounters):
            await counters.sweep_sometimes()

    def list_windows(self, tenant_id: UUID, plan: Plan, permission: Permission) -> list[RateWindow]:
        """Return the windows in which a request of a tenant on this plan is to be counted."""
        return _list_windows(plan.rate(permission), _describe_counted(tenant_id, plan, permission))

    def judge(
        self, principal: Principal, permission: Permission, result: CountedRequest, recognitions: int
    ) -> dict[str, str]:
        """Decide on a request that was counted in the windows of `list_windows`; returns and raises as the others."""
        plan = principal.plan
        counted = _describe_counted(principal.tenant_id, plan, permission)
        return self._judge(plan.rate(permission), counted, result, plan, recognitions)

    def _judge(
        self, rate: str, counted: "_Counted", result: CountedRequest, plan: Plan, recognitions: int
    ) -> dict[str, str]:
        items, windows = _list_items(rate, counted.name), _list_windows(rate, counted)
        counters = self._limiter.limiter.storage
        assert isinstance(counters, PostgresRateCounters)
        admissions = []
        for item, window, total, remaining_s in zip(items, windows, result.totals, result.remaining_s, strict=False):
            counters.note(window.key, total, remaining_s)
            admissions.append(self._hit(item, counted.name, counted.caller, counted.calls))
        headers = counted.judge(admissions) if admissions else {}
        if not result.is_within_quota:
            raise quota_exceeded(plan, recognitions)
        return headers

    async def _hit_without_blocking(self, item: RateLimitItem, name: str, caller: str, calls: int) -> Admission:
        counters = self._limiter.limiter.storage
        if not isinstance(counters, PostgresRateCounters):
            return await asyncio.to_thread(self._hit, item, name, caller, calls)
        await counters.count_ahead(item.key_for(name, caller), item.get_expiry(), calls)
        return self._hit(item, name, caller, calls)

    def _hit(self, item: RateLimitItem, name: str, caller: str, calls: int) -> Admission:
        strategy = self._limiter.limiter
        is_admitted = strategy.hit(item, name, caller, cost=calls)
        window = strategy.get_window_stats(item, name, caller)
        return Admission(is_admitted, item, window.remaining, max(0, math.ceil(window.reset_time - time.time())))


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is counted: the name of the limit, the counter's owner, and how to explain a refusal."""

    name: str
    caller: str
    whose: str
    advice: str
    calls: int = 1

    def judge(self, admissions: Sequence[Admission]) -> dict[str, str]:
        """Return the headers of the tightest window; raises `RateLimited` if one refuses."""
        refused = next((admission for admission in admissions if not admission.is_admitted), None)
        if refused is not None:
            item = refused.item
            raise RateLimited(
                f"{self.whose} {item.amount} requests of {self.name!r} in {item.get_expiry()} seconds"
                f"{_explain(self.calls)}; try again in {refused.reset_s} seconds.{self.advice}",
                retry_after_s=max(1, refused.reset_s),
                headers=refused.headers(self.name),
            )
        return min(admissions, key=lambda admission: admission.remaining).headers(self.name)


def _describe_counted(tenant_id: UUID, plan: Plan, permission: Permission, calls: int = 1) -> _Counted:
    whose = f"The plan {plan.name!r} allows"
    advice = " The operator can put your tenant on another plan (`vultus tenants set-plan`)."
    return _Counted(permission.value, f"tenant:{tenant_id}", whose, advice, calls)


def _list_items(rate: str, name: str) -> tuple[RateLimitItem, ...]:
    return _parse(rate, name) if rate != UNLIMITED else ()


def _list_windows(rate: str, counted: _Counted) -> list[RateWindow]:
    return [
        RateWindow(item.key_for(counted.name, counted.caller), item.get_expiry(), item.amount)
        for item in _list_items(rate, counted.name)
    ]


def _explain(calls: int) -> str:
    return f", and a batch counts one for each photo, here {calls + 1}" if calls > 1 else ""


@lru_cache(maxsize=1024)
def _parse(rate: str, name: str) -> tuple[RateLimitItem, ...]:
    """Parse a rate into its windows, the shortest first."""
    try:
        items = parse_many(check_rate(rate))
    except (ValueError, TypeError):
        # Someone wrote the plan into the database without validation; apply the default rate instead of failing.
        _log.error("invalid_plan_rate", rate=rate, permission=name)
        items = parse_many(DEFAULT_RATE)
    return tuple(sorted(items, key=lambda item: item.get_expiry()))


def _redis_errors(redis_url: str | None) -> tuple[type[Exception], ...]:
    if redis_url is None:  # importing redis takes a tenth of the startup time
        return ()
    from redis.exceptions import RedisError  # noqa: PLC0415

    return (RedisError,)
