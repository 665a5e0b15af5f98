"""How often somebody tried to sign in to one account from one address."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.persistence.models import LoginAttemptsModel

WINDOW = timedelta(minutes=15)
MAX_ATTEMPTS = 10
_FIRST_DELAY = timedelta(seconds=30)
_LONGEST_DELAY = timedelta(hours=1)


class LoginAttempts:
    """Belongs to no tenant: nobody is known yet. Counting comes before the password is looked at."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def admit(self, key: str) -> timedelta | None:
        """Count a try; None if it may go on, else how long to wait.

        Ten tries go on; from the tenth on each is followed by a delay twice as long as the last, until 15 minutes pass
        without any.
        """
        # Makes the row or finds it, and locks it either way, in one statement: a success may delete it meanwhile.
        upsert = insert(LoginAttemptsModel).values(key=key, attempts=0, since=func.now())
        upsert = upsert.on_conflict_do_update(index_elements=["key"], set_={"key": key})
        found = select(LoginAttemptsModel).from_statement(upsert.returning(LoginAttemptsModel))
        row = (await self._session.scalars(found.execution_options(populate_existing=True))).one()
        now: datetime = (await self._session.scalars(select(func.now()))).one()
        if row.blocked_until is not None and row.blocked_until > now:
            remaining: timedelta = row.blocked_until - now
            return remaining
        if now - _quiet_since(row) > WINDOW:
            row.attempts, row.blocked_until = 0, None
        row.attempts, row.since = row.attempts + 1, now
        if row.attempts >= MAX_ATTEMPTS:
            row.blocked_until = now + min(_FIRST_DELAY * 2 ** min(row.attempts - MAX_ATTEMPTS, 10), _LONGEST_DELAY)
        await self._session.flush()
        return None

    async def forget(self, key: str) -> None:
        """Begin anew after a success."""
        await self._session.execute(delete(LoginAttemptsModel).where(LoginAttemptsModel.key == key))


def _quiet_since(row: LoginAttemptsModel) -> datetime:
    return max(row.since, row.blocked_until) if row.blocked_until is not None else row.since
