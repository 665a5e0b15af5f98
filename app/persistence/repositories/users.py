"""Users: logins, roles and password hashes."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.tenancy import UserRecord
from app.domain.text import normalize_email
from app.persistence.models import UserModel
from app.persistence.repositories.base import TenantRepository, page_by_creation
from app.persistence.repositories.second_factors import SecondFactorRepository
from app.persistence.repositories.sessions import SessionRepository


@dataclass(frozen=True, slots=True)
class Login:
    """The stored part of a login, to check a password against."""

    user_id: UUID
    tenant_id: UUID
    password_hash: str


class LoginDirectory:
    """Finds logins by email across tenants, before the caller is authenticated.

    The transaction's `lookup` must be that email; otherwise row-level security hides the row.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, email: str) -> Login | None:
        """Find a login by email, ignoring case and spelling."""
        statement = select(UserModel).where(UserModel.email == normalize_email(email))
        user = await self._session.scalar(statement)
        return Login(user.id, user.tenant_id, user.password_hash) if user is not None else None


class UserRepository(TenantRepository):
    """The users of one tenant."""

    async def add(self, *, email: str, password_hash: str, role: str) -> UUID | None:
        """Create a user and return their id; None if the email is taken in any tenant."""
        values = self._row(email=normalize_email(email), password_hash=password_hash, role=role)
        statement = insert(UserModel).values(values).on_conflict_do_nothing(index_elements=["email"])
        created: UUID | None = await self._session.scalar(statement.returning(UserModel.id))
        return created

    async def list_page(self, after: tuple[datetime, UUID] | None, limit: int) -> list[UserRecord]:
        """List up to `limit` users after a time of creation and a row id, oldest first."""
        statement = page_by_creation(self._select(UserModel), UserModel, after, limit)
        return [_describe(row) for row in await self._session.scalars(statement)]

    async def find(self, user_id: UUID, *, lock: bool = False) -> UserRecord | None:
        """Find a user; `lock` lets concurrent transactions that lock the user wait for each other."""
        statement = self._select(UserModel, UserModel.id == user_id)
        row = await self._session.scalar(statement.with_for_update() if lock else statement)
        return _describe(row) if row is not None else None

    async def find_by_email(self, email: str) -> UserRecord | None:
        """Find the tenant's user with this email."""
        row = await self._session.scalar(self._select(UserModel, UserModel.email == normalize_email(email)))
        return _describe(row) if row is not None else None

    async def find_password_hash(self, user_id: UUID, *, lock: bool = False) -> str | None:
        """Find a user's password hash; `lock` prevents changes to it until the transaction ends."""
        statement = self._select(UserModel, UserModel.id == user_id)
        row = await self._session.scalar(statement.with_for_update(read=True) if lock else statement)
        return row.password_hash if row is not None else None

    async def lock_admins(self) -> set[UUID]:
        """Lock the admins until the transaction ends and return their ids."""
        statement = self._select(UserModel, UserModel.role == "admin").order_by(UserModel.id).with_for_update()
        return {row.id for row in await self._session.scalars(statement)}

    async def update(self, user_id: UUID, **values: str) -> None:
        """Set a user's `role` or `password_hash`."""
        await self._session.execute(self._update(UserModel, UserModel.id == user_id).values(**values))

    async def delete_second_factor(self, user_id: UUID) -> bool:
        """Delete a user's second factor and end their sessions; return False if they have none."""
        if not await SecondFactorRepository(self._session, self._tenant_id).delete(user_id):
            return False
        await SessionRepository(self._session, self._tenant_id).revoke_all(user_id)
        return True

    async def delete(self, user_id: UUID) -> None:
        """Delete a user with their sessions."""
        await self._session.execute(self._delete(UserModel, UserModel.id == user_id))

    async def find_first(self, role: str) -> UserModel | None:
        """Find the oldest user with a role."""
        statement = self._select(UserModel, UserModel.role == role).order_by(UserModel.created_at).limit(1)
        user: UserModel | None = await self._session.scalar(statement)
        return user


def _describe(row: UserModel) -> UserRecord:
    return UserRecord(row.id, row.email, row.role, row.created_at)
