"""Add, change and remove a tenant's users; at least one admin always remains."""

from uuid import UUID

from app.domain.tenancy import UserRecord
from app.errors import EmailTaken, LastAdmin, PermissionDenied, SecondFactorMissing, UserNotFound
from app.permissions import ROLE_PERMISSIONS, Principal, Quota, Role
from app.persistence.repositories.users import UserRepository
from app.security.cursors import CursorSigner, read_created, write_created
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.paging import Page, PageRequest, cut_page
from app.services.tenancy.quotas import QuotaService


class UserService:
    """Manage the users of the caller's tenant.

    Passwords arrive hashed, because no database connection may be held while hashing.
    """

    def __init__(
        self,
        users: UserRepository,
        quotas: QuotaService,
        principal: Principal | None,
        trail: AuditTrail,
        cursors: CursorSigner,
    ) -> None:
        """`principal` is None for the operator, who may grant any role."""
        self._trail = trail
        self._users = users
        self._quotas = quotas
        self._principal = principal
        self._cursors = cursors

    async def add(self, email: str, password_hash: str, role: Role) -> UserRecord:
        """Add a user.

        Raises `EmailTaken`, `QuotaExceeded`, or `PermissionDenied` for a role with more permissions than the caller.
        """
        self._refuse_escalation(role)
        user_id = await self._users.add(email=email, password_hash=password_hash, role=role)
        if user_id is None:
            raise EmailTaken
        await self._quotas.check(Quota.USERS)
        await self._trail.record(AuditAction.USER_ADDED, f"user:{user_id}", role=role.value)
        return await self.get(user_id)

    async def list(self, request: PageRequest) -> Page[UserRecord]:
        """List one page of users, oldest first; raises `InvalidCursor`."""
        scope = f"{self._users.tenant_id}/users"
        after = self._cursors.open(scope, request.cursor, read_created) if request.cursor else None
        found = await self._users.list_page(after, request.limit + 1)
        return cut_page(
            found, request.limit, lambda last: self._cursors.sign(scope, write_created(last.created_at, last.id))
        )

    async def get(self, user_id: UUID) -> UserRecord:
        """Return one user; raises `UserNotFound`."""
        found = await self._users.find(user_id)
        if found is None:
            raise UserNotFound
        return found

    async def set_role(self, user_id: UUID, role: Role) -> UserRecord:
        """Change a user's role, effective from their next request.

        Raises `LastAdmin`, `PermissionDenied` or `UserNotFound`.
        """
        self._refuse_escalation(role)
        if role is not Role.ADMIN:
            await self._refuse_last_admin(user_id)
        await self.get(user_id)
        await self._users.update(user_id, role=role.value)
        await self._trail.record(AuditAction.USER_CHANGED, f"user:{user_id}", role=role.value)
        return await self.get(user_id)

    async def remove(self, user_id: UUID) -> None:
        """Remove a user and their sessions; raises `LastAdmin` or `UserNotFound`."""
        await self._refuse_last_admin(user_id)
        await self.get(user_id)
        await self._users.delete(user_id)
        await self._trail.record(AuditAction.USER_REMOVED, f"user:{user_id}")

    async def remove_second_factor(self, user_id: UUID) -> None:
        """Remove a user's second factor and end their sessions.

        Raises `UserNotFound`, `SecondFactorMissing`, or `PermissionDenied` for a user with more permissions than the
        caller.
        """
        self._refuse_escalation(Role((await self.get(user_id)).role))
        if not await self._users.delete_second_factor(user_id):
            raise SecondFactorMissing
        await self._trail.record(AuditAction.SECOND_FACTOR_REMOVED, f"user:{user_id}")

    def _refuse_escalation(self, role: Role) -> None:
        """Raise `PermissionDenied` for a role that could do more than the caller."""
        if self._principal is not None and not ROLE_PERMISSIONS[role] <= self._principal.permissions:
            raise PermissionDenied(
                f"role: {role.value!r} has permissions that you do not have, so you can neither grant it nor remove "
                f"the second factor of a user who has it."
            )

    async def _refuse_last_admin(self, user_id: UUID) -> None:
        if await self._users.lock_admins() == {user_id}:
            raise LastAdmin
