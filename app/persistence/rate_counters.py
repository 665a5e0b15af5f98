"""Rate counters in PostgreSQL, shared by all workers and hosts: a storage for the `limits` library.

The library asks from a thread; the query runs on the event loop, on the pool that is there anyway.
"""

import asyncio
import random
import threading
import time
from typing import Any, ClassVar

from limits.storage import Storage

from app.persistence.database import Database

SCHEME = "vultus+postgresql"

_TIMEOUT_S = 5
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
_CLEAR = "DELETE FROM rate_counters WHERE key = $1"


class PostgresRateCounters(Storage):
    """Fixed windows, one row a counter; one statement counts and says when the window ends."""

    STORAGE_SCHEME: ClassVar[list[str] | None] = [SCHEME]  # type: ignore[misc]

    def __init__(
        self, uri: str | None = None, *, database: Database, loop: asyncio.AbstractEventLoop, **_: Any
    ) -> None:
        super().__init__(uri, wrap_exceptions=False)
        self._database = database
        self._loop = loop
        # What the last increment of this thread saw, for the questions that follow it.
        self._seen = threading.local()

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """Everything the storage may raise on its own account."""
        return (OSError,)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count `amount` and return the count of the running window."""
        counted: tuple[int, float] = self._wait(self._increment(key, expiry, amount))
        count, remaining_s = counted
        self._seen.key, self._seen.count, self._seen.expires_at = key, count, time.time() + remaining_s
        return count

    def get(self, key: str) -> int:
        """The count that this thread's last increment of the key saw."""
        return int(self._seen.count) if getattr(self._seen, "key", None) == key else 0

    def get_expiry(self, key: str) -> float:
        """When the window ends that this thread's last increment of the key saw, as a Unix time."""
        return float(self._seen.expires_at) if getattr(self._seen, "key", None) == key else time.time()

    def check(self) -> bool:
        """Whether the database answers."""
        return self._wait(self._increment("check", 1, 0)) is not None

    def reset(self) -> int | None:
        """Not offered: the counters of all tenants are one table."""
        raise NotImplementedError

    def clear(self, key: str) -> None:
        """Forget one counter."""
        self._wait(self._database.fetch_row(_CLEAR, key))

    async def _increment(self, key: str, expiry: int, amount: int) -> tuple[int, float]:
        if random.randrange(_SWEEP_ONE_IN) == 0:  # noqa: S311 - spreads the sweeping, hides nothing
            await self._database.fetch_row(_SWEEP)
        row = await self._database.fetch_row(_INCREMENT, key, amount, expiry)
        return int(row[0]), float(row[1])

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=_TIMEOUT_S)
