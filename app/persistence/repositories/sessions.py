"""Sign-ins: who is signed in, and which refresh token of a session is the good one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func

from app.permissions import Principal, Role
from app.persistence.models import SessionModel, UserModel
from app.persistence.repositories.base import TenantRepository


class SessionRepository(TenantRepository):
    """The sessions of one tenant's users."""

    async def open(self, user_id: UUID, expires_at: datetime) -> UUID:
        """Begin a session at generation 0 and return its id."""
        session = SessionModel(**self._row(user_id=user_id, expires_at=expires_at, generation=0))
        self._session.add(session)
        await self._session.flush()
        return session.id

    async def find_principal(self, session_id: UUID, user_id: UUID) -> Principal | None:
        """Who is behind a session that is neither revoked nor expired, with the role they have now."""
        live = and_(SessionModel.revoked_at.is_(None), SessionModel.expires_at > func.now())
        statement = (
            self._select(UserModel, UserModel.id == user_id)
            .join(SessionModel, and_(SessionModel.user_id == UserModel.id, self._own(SessionModel)))
            .where(SessionModel.id == session_id, live)
        )
        user = await self._session.scalar(statement)
        if user is None:
            return None
        return Principal(user.id, user.tenant_id, session_id, user.email, Role(user.role))

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

    async def revoke(self, session_id: UUID) -> None:
        """End a session; every token of it is worthless from here on."""
        await self._session.execute(
            self._update(SessionModel, SessionModel.id == session_id, SessionModel.revoked_at.is_(None)).values(
                revoked_at=func.now()
            )
        )
