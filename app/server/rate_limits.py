"""Apply rate limits with slowapi's limiter, before a body is read and without blocking the event loop.

slowapi's own decorators and middleware do not fit: they run after the body was parsed, block the event loop on their
storage, and key by path, so that every id in a path has its own counter (docs/decisions/0010).
"""

import asyncio
import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from slowapi import Limiter
from slowapi.util import get_remote_address

from app.errors import NotReady, RateLimited
from app.permissions import DEFAULT_RATE, UNLIMITED, Permission, Principal
from app.persistence.connections.database import Database
from app.persistence.rate_counters import SCHEME, PostgresRateCounters
from app.settings import check_rate
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

    async def admit_principal(self, principal: Principal, permission: Permission) -> dict[str, str]:
        """Count a tenant's request against its plan's rate for a permission.

        Returns the rate-limit headers, none without a limit. Raises `RateLimited`, or `NotReady` if the counters are
        unavailable.
        """
        rate = principal.plan.rate(permission)
        if rate == UNLIMITED:
            return {}
        whose = f"The plan {principal.plan.name!r} allows"
        advice = " The operator can put your tenant on another plan (`vultus tenants set-plan`)."
        return await self._admit(rate, permission.value, f"tenant:{principal.tenant_id}", whose, advice)

    async def admit_address(self, address: str, name: str) -> dict[str, str]:
        """Count an unauthenticated request from an address against the public rate; `name` separates the counters.

        Returns the rate-limit headers. Raises `RateLimited`, or `NotReady` if the counters are unavailable.
        """
        return await self._admit(self._public_rate, name, f"address:{address}", "An address may send", "")

    async def _admit(self, rate: str, name: str, caller: str, whose: str, advice: str) -> dict[str, str]:
        admissions = []
        try:
            # Count shorter windows first and stop at a refusal: refused requests must not use up a daily limit.
            for item in sorted(_parse(rate, name), key=lambda item: item.get_expiry()):
                admissions.append(await self._hit_without_blocking(item, name, caller))
                if not admissions[-1].is_admitted:
                    break
        except self._storage_errors as exc:
            raise NotReady("The storage of the rate limit counters is not responding.") from exc
        refused = next((admission for admission in admissions if not admission.is_admitted), None)
        if refused is not None:
            item = refused.item
            raise RateLimited(
                f"{whose} {item.amount} requests of {name!r} in {item.get_expiry()} seconds; try again in "
                f"{refused.reset_s} seconds.{advice}",
                retry_after_s=max(1, refused.reset_s),
                headers=refused.headers(name),
            )
        return min(admissions, key=lambda admission: admission.remaining).headers(name)

    async def _hit_without_blocking(self, item: RateLimitItem, name: str, caller: str) -> Admission:
        counters = self._limiter.limiter.storage
        if not isinstance(counters, PostgresRateCounters):
            return await asyncio.to_thread(self._hit, item, name, caller)
        await counters.count_ahead(item.key_for(name, caller), item.get_expiry())
        return self._hit(item, name, caller)

    def _hit(self, item: RateLimitItem, name: str, caller: str) -> Admission:
        strategy = self._limiter.limiter
        is_admitted = strategy.hit(item, name, caller)
        window = strategy.get_window_stats(item, name, caller)
        return Admission(is_admitted, item, window.remaining, max(0, math.ceil(window.reset_time - time.time())))


def _parse(rate: str, name: str) -> list[RateLimitItem]:
    try:
        return parse_many(check_rate(rate))
    except (ValueError, TypeError):
        # Someone wrote the plan into the database without validation; apply the default rate instead of failing.
        _log.error("invalid_plan_rate", rate=rate, permission=name)
        return parse_many(DEFAULT_RATE)


def _redis_errors(redis_url: str | None) -> tuple[type[Exception], ...]:
    if redis_url is None:  # importing redis takes a tenth of the startup time
        return ()
    from redis.exceptions import RedisError  # noqa: PLC0415

    return (RedisError,)
