"""How often who may do what: slowapi's limiter, asked before a body is read and never on the event loop.

slowapi's own decorators and middleware are not used: they run after the body was parsed, block the loop on their
storage, and put the path into the key, so that every id opens a new bucket (docs/decisions/0010).
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
from app.permissions import DEFAULT_RATE, Permission, Principal
from app.persistence.connections.database import Database
from app.persistence.rate_counters import SCHEME, PostgresRateCounters
from app.settings import check_rate
from app.telemetry import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of one request at one limit."""

    is_admitted: bool
    item: RateLimitItem
    remaining: int
    reset_s: int

    def headers(self, name: str) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-09)."""
        return {
            "ratelimit": f'"{name}";r={self.remaining};t={self.reset_s}',
            "ratelimit-policy": f'"{name}";q={self.item.amount};w={self.item.get_expiry()}',
        }


class RateLimiter:
    """Counts shared by all workers and hosts: in PostgreSQL, or in Redis where there is one."""

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
        self._troubles: tuple[type[Exception], ...] = (StorageError, TimeoutError, OSError, *_redis_errors(redis_url))

    async def admit_principal(self, principal: Principal, permission: Permission) -> dict[str, str]:
        """Count a request of a tenant for what needs this permission; raises `RateLimited`, returns headers."""
        rate = principal.plan.rate(permission)
        return await self._admit(rate, permission.value, f"tenant:{principal.tenant_id}")

    async def admit_address(self, address: str, name: str) -> dict[str, str]:
        """Count a request of somebody unknown; raises `RateLimited`, returns headers."""
        return await self._admit(self._public_rate, name, f"address:{address}")

    async def _admit(self, rate: str, name: str, who: str) -> dict[str, str]:
        try:
            items = parse_many(check_rate(rate))
        except (ValueError, TypeError):
            # Written into the database past every check: limit, do not fail.
            _log.error("plan_has_an_unreadable_rate", rate=rate, permission=name)
            items = parse_many(DEFAULT_RATE)
        admissions = []
        try:
            # Short windows first, and none after a refusal: what is refused must not use up the day.
            for item in sorted(items, key=lambda item: item.get_expiry()):
                admissions.append(await self._hit_without_blocking(item, name, who))
                if not admissions[-1].is_admitted:
                    break
        except self._troubles as exc:
            raise NotReady("The rate counters do not answer.") from exc
        refused = next((admission for admission in admissions if not admission.is_admitted), None)
        if refused is not None:
            item = refused.item
            raise RateLimited(
                f"{item.amount} requests for {name!r} in {item.get_expiry()} seconds are all your plan includes; "
                f"the next is admitted in {refused.reset_s} seconds.",
                retry_after_s=max(1, refused.reset_s),
                headers=refused.headers(name),
            )
        return min(admissions, key=lambda admission: admission.remaining).headers(name)

    async def _hit_without_blocking(self, item: RateLimitItem, name: str, who: str) -> Admission:
        counters = self._limiter.limiter.storage
        if not isinstance(counters, PostgresRateCounters):
            return await asyncio.to_thread(self._hit, item, name, who)
        await counters.count_ahead(item.key_for(name, who), item.get_expiry())
        return self._hit(item, name, who)

    def _hit(self, item: RateLimitItem, name: str, who: str) -> Admission:
        strategy = self._limiter.limiter
        is_admitted = strategy.hit(item, name, who)
        window = strategy.get_window_stats(item, name, who)
        return Admission(is_admitted, item, window.remaining, max(0, math.ceil(window.reset_time - time.time())))


def _redis_errors(redis_url: str | None) -> tuple[type[Exception], ...]:
    """What Redis raises, where it is used: importing it takes a tenth of a start."""
    if redis_url is None:
        return ()
    from redis.exceptions import RedisError  # noqa: PLC0415

    return (RedisError,)
