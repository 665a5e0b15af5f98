"""Counts sign-in attempts by account and by address, delays them after too many, and knows addresses that signed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.persistence.connections.database import Database
from app.persistence.models import LoginAttemptsModel


@dataclass(frozen=True, slots=True)
class AttemptLimit:
    """How many attempts pass without a delay, and how the delays grow after that.

    From attempt number `attempts` on, each one starts a delay: `first_delay` at first, doubling up to `max_delay`. The
    count resets `window` after the last attempt or delay.
    """

    attempts: int
    first_delay: timedelta
    max_delay: timedelta
    window: timedelta

    def delay(self, attempts: int) -> timedelta | None:
        """Return the delay that this attempt starts, None for none."""
        if attempts < self.attempts:
            return None
        doublings: int = 2 ** min(attempts - self.attempts, 10)
        return min(self.first_delay * doublings, self.max_delay)


BY_ADDRESS = AttemptLimit(10, timedelta(seconds=30), timedelta(hours=1), timedelta(minutes=15))
"""Attempts on one account from one address."""
BY_ACCOUNT = AttemptLimit(50, timedelta(seconds=15), timedelta(minutes=15), timedelta(days=1))
"""Attempts on one account from all addresses that have not signed in to it before."""

_KNOWN_FOR = timedelta(days=90)
_KNOWN_PREFIX = "known:"
_SWEEP = """
DELETE FROM login_attempts WHERE key IN (
    SELECT key FROM login_attempts
    WHERE greatest(since, blocked_until) < now() - CASE WHEN key LIKE $1 THEN $2::interval ELSE $3::interval END
    FOR UPDATE SKIP LOCKED
)
"""


class LoginAttempts:
    """Sign-in attempts; they belong to no tenant, since the caller is not authenticated yet.

    Attempts are counted before the password is checked.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def count_attempt(self, limits: Mapping[str, AttemptLimit]) -> timedelta | None:
        """Count an attempt under each key; return None if it may proceed.

        If any key is delayed, nothing is counted and the longest time to wait is returned. Concurrent callers must pass
        keys in the same order, since each one's row is locked.
        """
        rows = [(await self._lock(key), limit) for key, limit in limits.items()]
        now: datetime = (await self._session.scalars(select(func.clock_timestamp()))).one()
        waits = [row.blocked_until - now for row, _ in rows if row.blocked_until is not None]
        if waits and max(waits) > timedelta(0):
            return max(waits)
        for row, limit in rows:
            if now - _last_activity(row) > limit.window:
                row.attempts, row.blocked_until = 0, None
            row.attempts, row.since = row.attempts + 1, now
            delay = limit.delay(row.attempts)
            row.blocked_until = now + delay if delay is not None else None
        await self._session.flush()
        return None

    async def delete(self, keys: Sequence[str]) -> None:
        """Reset the counts of these keys."""
        await self._session.execute(delete(LoginAttemptsModel).where(LoginAttemptsModel.key.in_(keys)))

    async def uncount(self, keys: Sequence[str]) -> None:
        """Take one attempt back from each key's count."""
        model = LoginAttemptsModel
        fewer = update(model).where(model.key.in_(keys)).values(attempts=func.greatest(model.attempts - 1, 0))
        await self._session.execute(fewer)

    async def remember(self, key: str) -> None:
        """Remember a key as known, for 90 days from now."""
        row = insert(LoginAttemptsModel).values(key=_KNOWN_PREFIX + key, attempts=0, since=func.now())
        await self._session.execute(row.on_conflict_do_update(index_elements=["key"], set_={"since": func.now()}))

    async def is_known(self, keys: Sequence[str]) -> bool:
        """Whether any of these keys is remembered."""
        known = [_KNOWN_PREFIX + key for key in keys]
        model = LoginAttemptsModel
        recent = select(model.key).where(model.key.in_(known), model.since > func.now() - _KNOWN_FOR)
        return (await self._session.scalars(recent.limit(1))).first() is not None

    async def _lock(self, key: str) -> LoginAttemptsModel:
        # One statement creates or finds the row and locks it: a concurrent success may delete it.
        upsert = insert(LoginAttemptsModel).values(key=key, attempts=0, since=func.now())
        upsert = upsert.on_conflict_do_update(index_elements=["key"], set_={"key": key})
        locked = select(LoginAttemptsModel).from_statement(upsert.returning(LoginAttemptsModel))
        row: LoginAttemptsModel = (await self._session.scalars(locked.execution_options(populate_existing=True))).one()
        return row


async def sweep_login_attempts(database: Database) -> None:
    """Delete counts that have been reset by time, and addresses that are no longer known."""
    await database.fetch_row(_SWEEP, f"{_KNOWN_PREFIX}%", _KNOWN_FOR, BY_ACCOUNT.window)


def _last_activity(row: LoginAttemptsModel) -> datetime:
    return max(row.since, row.blocked_until) if row.blocked_until is not None else row.since
