"""How often somebody tried to sign in to one account from one address."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.persistence.models import LoginTriesModel

WINDOW = timedelta(minutes=15)
TRIES = 10
_FIRST_DELAY = timedelta(seconds=30)
_LONGEST_DELAY = timedelta(hours=1)


class LoginTriesRepository:
    """Belongs to no tenant: nobody is known yet. Counting comes before the password is looked at."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def admit(self, key: str) -> timedelta | None:
        """Count a try; None if it may go on, else how long to wait.

        Ten tries in 15 minutes go on; from the tenth on each is followed by a delay twice as long as the last.
        """
        empty = insert(LoginTriesModel).values(key=key, tries=0, since=func.now()).on_conflict_do_nothing()
        await self._session.execute(empty)
        statement = select(LoginTriesModel, func.now()).where(LoginTriesModel.key == key).with_for_update()
        row, now = (await self._session.execute(statement)).one()
        if row.blocked_until is not None and row.blocked_until > now:
            remaining: timedelta = row.blocked_until - now
            return remaining
        if now - _quiet_since(row) > WINDOW:
            row.tries, row.since, row.blocked_until = 0, now, None
        row.tries += 1
        if row.tries >= TRIES:
            row.blocked_until = now + min(_FIRST_DELAY * 2 ** (row.tries - TRIES), _LONGEST_DELAY)
        await self._session.flush()
        return None

    async def forget(self, key: str) -> None:
        """Begin anew after a success."""
        await self._session.execute(delete(LoginTriesModel).where(LoginTriesModel.key == key))


def _quiet_since(row: LoginTriesModel) -> datetime:
    return max(row.since, row.blocked_until) if row.blocked_until is not None else row.since
