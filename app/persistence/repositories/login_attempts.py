"""Counts sign-in attempts to one account from one address, and delays them after too many failures."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.persistence.models import LoginAttemptsModel

WINDOW = timedelta(minutes=15)
MAX_ATTEMPTS = 10
_FIRST_DELAY = timedelta(seconds=30)
_MAX_DELAY = timedelta(hours=1)


class LoginAttempts:
    """Sign-in attempts; they belong to no tenant, since the caller is not authenticated yet.

    Attempts are counted before the password is checked.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def count_attempt(self, key: str) -> timedelta | None:
        """Count an attempt; return None if it may proceed, else the time to wait.

        From the tenth attempt on, each one starts a delay: 30 s at first, doubling up to 1 h. The count resets 15
        minutes after the last attempt or delay.
        """
        # One statement creates or finds the row and locks it: a concurrent success may delete it.
        upsert = insert(LoginAttemptsModel).values(key=key, attempts=0, since=func.now())
        upsert = upsert.on_conflict_do_update(index_elements=["key"], set_={"key": key})
        locked = select(LoginAttemptsModel).from_statement(upsert.returning(LoginAttemptsModel))
        row = (await self._session.scalars(locked.execution_options(populate_existing=True))).one()
        now: datetime = (await self._session.scalars(select(func.now()))).one()
        if row.blocked_until is not None and row.blocked_until > now:
            remaining: timedelta = row.blocked_until - now
            return remaining
        if now - _last_activity(row) > WINDOW:
            row.attempts, row.blocked_until = 0, None
        row.attempts, row.since = row.attempts + 1, now
        if row.attempts >= MAX_ATTEMPTS:
            row.blocked_until = now + min(_FIRST_DELAY * 2 ** min(row.attempts - MAX_ATTEMPTS, 10), _MAX_DELAY)
        await self._session.flush()
        return None

    async def delete(self, key: str) -> None:
        """Reset the count after a successful sign-in."""
        await self._session.execute(delete(LoginAttemptsModel).where(LoginAttemptsModel.key == key))


def _last_activity(row: LoginAttemptsModel) -> datetime:
    return max(row.since, row.blocked_until) if row.blocked_until is not None else row.since
