"""Rate counters in PostgreSQL, shared by all workers and hosts: a storage for the `limits` library.

The library is synchronous and would block the event loop on every count. So a count is made ahead, without blocking
(`count_ahead`), and the library, asking in the same task straight after, gets what was counted.
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
    """Fixed windows, one row a counter; one statement counts and says when the window ends."""

    STORAGE_SCHEME: ClassVar[list[str] | None] = [SCHEME]  # type: ignore[misc]

    def __init__(self, uri: str | None = None, *, database: Database, **_: Any) -> None:
        super().__init__(uri, wrap_exceptions=False)
        self._database = database

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """Everything the storage may raise on its own account."""
        return (OSError,)

    async def count_ahead(self, key: str, expiry: int) -> None:
        """Count one more under the key, in a window of `expiry` seconds, for the task's next question about it."""
        if random.randrange(_SWEEP_ONE_IN) == 0:  # noqa: S311 - spreads the sweeping, hides nothing
            await self._database.fetch_row(_SWEEP)
        count, remaining_s = await self._database.fetch_row(_INCREMENT, key, 1, expiry)
        _counted.set(_Counted(key, int(count), time.time() + float(remaining_s)))

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """The count of the running window, made ahead."""
        return self._ahead(key).total

    def get(self, key: str) -> int:
        """The same count."""
        return self._ahead(key).total

    def get_expiry(self, key: str) -> float:
        """When the window ends, as a Unix time."""
        return self._ahead(key).expires_at

    def check(self) -> bool:
        """Not offered: whether the database answers is asked elsewhere."""
        raise NotImplementedError

    def reset(self) -> int | None:
        """Not offered: the counters of all tenants are one table."""
        raise NotImplementedError

    def clear(self, key: str) -> None:
        """Not offered: nothing forgets a count before its window ends."""
        raise NotImplementedError

    def _ahead(self, key: str) -> _Counted:
        counted = _counted.get()
        if counted is None or counted.key != key:
            raise LookupError("a rate was asked for that was not counted ahead")
        return counted
