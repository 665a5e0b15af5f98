"""Sign-in sessions: expiry, revocation, and the generation of the valid refresh token."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func

from app.domain.accounts import SessionRecord
from app.persistence.models import SessionModel
from app.persistence.repositories.base import TenantRepository


class SessionRepository(TenantRepository):
    """The sessions of one tenant's users."""

    async def add(self, user_id: UUID, expires_at: datetime, *, is_console: bool = False) -> UUID:
        """Create a session at generation 0 and return its id."""
        values = self._row(user_id=user_id, expires_at=expires_at, generation=0, is_console=is_console)
        session = SessionModel(**values)
        self._session.add(session)
        await self._session.flush()
        return session.id

    async def rotate(self, session_id: UUID, user_id: UUID, generation: int, expires_at: datetime) -> bool:
        """Advance a user's session from `generation` to the next.

        Returns False if its generation or its user differs, or if it is revoked, expired or unknown.
        """
        statement = (
            self._update(
                SessionModel,
                SessionModel.id == session_id,
                SessionModel.user_id == user_id,
                SessionModel.generation == generation,
                SessionModel.revoked_at.is_(None),
                SessionModel.expires_at > func.now(),
            )
            .values(generation=SessionModel.generation + 1, expires_at=expires_at, last_used_at=func.now())
            .returning(SessionModel.id)
        )
        return await self._session.scalar(statement) is not None

    async def revoke_all(self, user_id: UUID, *, except_id: UUID | None = None) -> None:
        """Revoke all sessions of a user, except one."""
        statement = self._update(SessionModel, SessionModel.user_id == user_id, SessionModel.revoked_at.is_(None))
        if except_id is not None:
            statement = statement.where(SessionModel.id != except_id)
        await self._session.execute(statement.values(revoked_at=func.now()))

    async def list_live(self, user_id: UUID) -> list[SessionRecord]:
        """List up to 100 sessions of a user that are neither ended nor expired, newest first."""
        is_live = SessionModel.revoked_at.is_(None), SessionModel.expires_at > func.now()
        statement = self._select(SessionModel, SessionModel.user_id == user_id, *is_live)
        rows = await self._session.scalars(
            statement.order_by(SessionModel.created_at.desc(), SessionModel.id).limit(100)
        )
        return [SessionRecord(row.id, row.created_at, row.expires_at, row.last_used_at, row.is_console) for row in rows]

    async def revoke_of(self, user_id: UUID, session_id: UUID) -> bool:
        """Revoke a user's session; return False if they have none with this id that is live."""
        is_live = SessionModel.revoked_at.is_(None), SessionModel.expires_at > func.now()
        statement = self._update(
            SessionModel, SessionModel.id == session_id, SessionModel.user_id == user_id, *is_live
        ).values(revoked_at=func.now())
        return await self._session.scalar(statement.returning(SessionModel.id)) is not None

    async def revoke(self, session_id: UUID) -> None:
        """Revoke a session; its access and refresh tokens stop working."""
        await self._session.execute(
            self._update(SessionModel, SessionModel.id == session_id, SessionModel.revoked_at.is_(None)).values(
                revoked_at=func.now()
            )
        )
