"""Sign-ins: how long they live, and which refresh token of a session is the good one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func

from app.persistence.models import SessionModel
from app.persistence.repositories.base import TenantRepository


class SessionRepository(TenantRepository):
    """The sessions of one tenant's users."""

    async def open(self, user_id: UUID, expires_at: datetime) -> UUID:
        """Begin a session at generation 0 and return its id."""
        session = SessionModel(**self._row(user_id=user_id, expires_at=expires_at, generation=0))
        self._session.add(session)
        await self._session.flush()
        return session.id

    async def rotate(self, session_id: UUID, generation: int, expires_at: datetime) -> bool:
        """Step from `generation` to the next; False if the session has moved on, ended or never was."""
        statement = (
            self._update(
                SessionModel,
                SessionModel.id == session_id,
                SessionModel.generation == generation,
                SessionModel.revoked_at.is_(None),
                SessionModel.expires_at > func.now(),
            )
            .values(generation=SessionModel.generation + 1, expires_at=expires_at)
            .returning(SessionModel.id)
        )
        return await self._session.scalar(statement) is not None

    async def revoke_all(self, user_id: UUID, *, but: UUID | None = None) -> None:
        """End every session of a user, except one."""
        statement = self._update(SessionModel, SessionModel.user_id == user_id, SessionModel.revoked_at.is_(None))
        if but is not None:
            statement = statement.where(SessionModel.id != but)
        await self._session.execute(statement.values(revoked_at=func.now()))

    async def revoke(self, session_id: UUID) -> None:
        """End a session; every token of it is worthless from here on."""
        await self._session.execute(
            self._update(SessionModel, SessionModel.id == session_id, SessionModel.revoked_at.is_(None)).values(
                revoked_at=func.now()
            )
        )
