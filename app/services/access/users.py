"""The users of a tenant: added, promoted, removed; one admin always stays."""

from uuid import UUID

from app.domain.tenancy import UserRecord
from app.errors import EmailTaken, LastAdmin, PermissionDenied, UserNotFound
from app.permissions import ROLE_PERMISSIONS, Principal, Quota, Role
from app.persistence.repositories.users import UserRepository
from app.services.audit.trail import AuditAction, AuditTrail
from app.services.tenancy.quotas import QuotaService


class UserService:
    """The users of the caller's tenant. Passwords come in hashed: hashing must not hold a connection."""

    def __init__(
        self, users: UserRepository, quotas: QuotaService, principal: Principal | None, trail: AuditTrail
    ) -> None:
        """`principal` None: the operator, who may make anybody anything."""
        self._trail = trail
        self._users = users
        self._quotas = quotas
        self._principal = principal

    async def add(self, email: str, password_hash: str, role: Role) -> UserRecord:
        """Add a user; raises `EmailTaken`, `QuotaExceeded`, or `PermissionDenied` for a role above one's own rights."""
        self._refuse_escalation(role)
        user_id = await self._users.add(email=email, password_hash=password_hash, role=role)
        if user_id is None:
            raise EmailTaken
        await self._quotas.check(Quota.USERS)
        await self._trail.record(AuditAction.USER_ADDED, f"user:{user_id}", role=role.value)
        return await self.get(user_id)

    async def list(self) -> list[UserRecord]:
        """Every user, oldest first."""
        return await self._users.list()

    async def get(self, user_id: UUID) -> UserRecord:
        """One user; raises `UserNotFound`."""
        found = await self._users.find(user_id)
        if found is None:
            raise UserNotFound
        return found

    async def set_role(self, user_id: UUID, role: Role) -> UserRecord:
        """Give a user another role, from their next request on; raises `LastAdmin` or `PermissionDenied`."""
        self._refuse_escalation(role)
        if role is not Role.ADMIN:
            await self._keep_an_admin(user_id)
        await self.get(user_id)
        await self._users.change(user_id, role=role.value)
        await self._trail.record(AuditAction.USER_CHANGED, f"user:{user_id}", role=role.value)
        return await self.get(user_id)

    async def remove(self, user_id: UUID) -> None:
        """Remove a user with their sessions; raises `LastAdmin`."""
        await self._keep_an_admin(user_id)
        await self.get(user_id)
        await self._users.delete(user_id)
        await self._trail.record(AuditAction.USER_REMOVED, f"user:{user_id}")

    def _refuse_escalation(self, role: Role) -> None:
        """Nobody makes a user who may do more than they may themselves."""
        if self._principal is not None and not ROLE_PERMISSIONS[role] <= self._principal.permissions:
            raise PermissionDenied(f"You cannot give the role {role.value!r}: it may do what you may not.")

    async def _keep_an_admin(self, user_id: UUID) -> None:
        if await self._users.lock_admins() == {user_id}:
            raise LastAdmin
