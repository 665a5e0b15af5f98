"""Creating tenants with their first admin."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from app.errors import EmailTaken
from app.permissions import Role
from app.persistence.database import Database
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.tenants import TenantDirectory
from app.persistence.repositories.users import UserRepository
from app.security.passwords import PasswordHasher

DEFAULT_COLLECTION = "default"


@dataclass(frozen=True, slots=True)
class CreatedTenant:
    """A new tenant and its admin's login."""

    tenant_id: UUID
    user_id: UUID
    name: str
    email: str


class TenantService:
    """Opens its transactions itself, for the same reason as `AuthService`."""

    def __init__(self, database: Database, hasher: PasswordHasher) -> None:
        self._database = database
        self._hasher = hasher

    async def create(self, name: str, email: str, password: str) -> CreatedTenant:
        """Create a tenant, its admin and its default collection, or nothing at all; raises `EmailTaken`."""
        password_hash = await self._hasher.hash(password)
        tenant_id = uuid4()
        async with self._database.transaction(tenant_id) as session:
            await TenantDirectory(session).add(tenant_id, name)
            user_id = await UserRepository(session, tenant_id).add(
                email=email, password_hash=password_hash, role=Role.ADMIN
            )
            if user_id is None:
                raise EmailTaken
            await CollectionRepository(session, tenant_id).add(DEFAULT_COLLECTION)
        return CreatedTenant(tenant_id, user_id, name, email.lower())

    async def find(self, name: str) -> UUID | None:
        """The id of the oldest tenant of that name; for the operator, who alone sees all."""
        async with self._database.transaction(as_operator=True) as session:
            return await TenantDirectory(session).find_by_name(name)
