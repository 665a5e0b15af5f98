"""Rate counters in PostgreSQL, shared by all workers and hosts: a storage backend for the `limits` library.

The library is synchronous and would block the event loop on every count. Callers therefore count asynchronously first
(`count_ahead`). The library then reads that result from a context variable in the same task.
"""

import random
import time
from contextvars import ContextVar
from typing import Any, ClassVar, NamedTuple

from limits.storage import Storage

from app.persistence.connections.database import Database

SCHEME = "vultus+postgresql"

_SWEEP_ONE_IN = 500

_INCREMENT = """
INSERT INTO rate_counters AS c (key, count, expires_at)
VALUES ($1, $2, now() + make_interval(secs => $3))
ON CONFLICT (key) DO UPDATE SET
    count = CASE WHEN c.expires_at <= now() THEN $2 ELSE c.count + $2 END,
    expires_at = CASE WHEN c.expires_at <= now() THEN now() + make_interval(secs => $3) ELSE c.expires_at END
RETURNING count, extract(epoch FROM expires_at - now())
"""
_SWEEP = "DELETE FROM rate_counters WHERE expires_at < now() - interval '1 minute'"


class _Counted(NamedTuple):
    key: str
    total: int
    expires_at: float


_counted: ContextVar[_Counted | None] = ContextVar("counted", default=None)


class PostgresRateCounters(Storage):
    """Fixed-window counters, one row per key; one statement increments and returns the end of the window."""

    STORAGE_SCHEME: ClassVar[list[str] | None] = [SCHEME]  # type: ignore[misc]

    def __init__(self, uri: str | None = None, *, database: Database, **_: Any) -> None:
        super().__init__(uri, wrap_exceptions=False)
        self._database = database

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return (OSError,)

    async def count_ahead(self, key: str, expiry: int, amount: int = 1) -> None:
        """Increment the key's counter by `amount`, in a window of `expiry` seconds, and keep the result for this task.

        Raises `DatabaseUnavailable`.
        """
        await self.sweep_sometimes()
        count, remaining_s = await self._database.fetch_row(_INCREMENT, key, 1, expiry)
        self.note(key, int(count), float(remaining_s))

    def note(self, key: str, total: int, remaining_s: float) -> None:
        """Keep a count for this task that another statement has made, as `count_ahead` does."""
        _counted.set(_Counted(key, total, time.time() + remaining_s))

    async def sweep_sometimes(self) -> None:
        """Delete counters of windows that have ended, once in a few hundred calls."""
        if random.randrange(_SWEEP_ONE_IN) == 0:  # noqa: S311 - spreads the cleanup; not security-relevant
            await self._database.fetch_row(_SWEEP)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Return the count of the current window, which `count_ahead` has already incremented."""
        return self._ahead(key).total

    def get(self, key: str) -> int:
        return self._ahead(key).total

    def get_expiry(self, key: str) -> float:
        """Return the end of the window as Unix time in seconds."""
        return self._ahead(key).expires_at

    def check(self) -> bool:
        """Not supported; the readiness endpoint checks the database."""
        raise NotImplementedError

    def reset(self) -> int | None:
        """Not supported, because all tenants share one table."""
        raise NotImplementedError

    def clear(self, key: str) -> None:
        """Not supported; a count lasts until its window ends."""
        raise NotImplementedError

    def _ahead(self, key: str) -> _Counted:
        counted = _counted.get()
        if counted is None or counted.key != key:
            raise LookupError("call count_ahead for this key before the limits library reads it")
        return counted
