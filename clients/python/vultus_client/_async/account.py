"""The tenant: its keys, users, usage, audit trail and policy."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime

from vultus_client._async.transport import AsyncResource
from vultus_client.calls import Call, body, path
from vultus_client.models import (
    AuditEntryOut,
    IssuedKeyOut,
    KeyOut,
    PolicyBody,
    Role,
    Scope,
    TenantOut,
    UsageDayOut,
    UserOut,
)


class AsyncKeys(AsyncResource):
    """API keys for programs."""

    async def issue(
        self,
        name: str,
        scopes: Sequence[Scope],
        *,
        collections: Sequence[str] | None = None,
        expires_at: datetime | None = None,
    ) -> IssuedKeyOut:
        """Create a key. The answer has the key itself, once."""
        sent = body(name=name, scopes=[*scopes], collections=collections, expires_at=expires_at)
        return await self._send(Call[IssuedKeyOut]("POST", "/keys", body=sent))

    def list(self) -> AsyncIterator[KeyOut]:
        """Yield all keys."""
        return self._pages(Call[KeyOut]("GET", "/keys"))

    async def rotate(self, key_id: str) -> IssuedKeyOut:
        """Create the successor of a key, which stays valid until it is revoked."""
        return await self._send(Call[IssuedKeyOut]("POST", path("keys", key_id, "rotate")))

    async def revoke(self, key_id: str) -> None:
        """End a key at once."""
        await self._send(Call[None]("DELETE", path("keys", key_id)))


class AsyncUsers(AsyncResource):
    """Logins of people."""

    async def add(self, email: str, password: str, role: Role) -> UserOut:
        """Add a user."""
        return await self._send(
            Call[UserOut]("POST", "/users", body={"email": email, "password": password, "role": role})
        )

    def list(self) -> AsyncIterator[UserOut]:
        """Yield all users."""
        return self._pages(Call[UserOut]("GET", "/users"))

    async def set_role(self, user_id: str, role: Role) -> UserOut:
        """Change what a user may do, from the next request on."""
        return await self._send(Call[UserOut]("PATCH", path("users", user_id), body={"role": role}, can_repeat=True))

    async def remove(self, user_id: str) -> None:
        """Remove a user."""
        await self._send(Call[None]("DELETE", path("users", user_id)))


class AsyncUsage(AsyncResource):
    """How much the tenant used, by day."""

    def list(self, *, since: date | None = None, before: date | None = None) -> AsyncIterator[UsageDayOut]:
        """Yield calls and images by day, permission and caller."""
        return self._pages(Call[UsageDayOut]("GET", "/usage", query={"since": since, "before": before}))


class AsyncAudit(AsyncResource):
    """The audit trail."""

    def list(
        self,
        *,
        action: str | None = None,
        actor: str | None = None,
        collection: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
    ) -> AsyncIterator[AuditEntryOut]:
        """Yield entries."""
        query = {"action": action, "actor": actor, "collection": collection, "subject": subject}
        return self._pages(Call[AuditEntryOut]("GET", "/audit", query={**query, "since": since, "before": before}))


class AsyncTenant(AsyncResource):
    """The tenant itself: plan, quotas and policy."""

    async def get(self) -> TenantOut:
        """Return the tenant with its plan and what it used of its quotas."""
        return await self._send(Call[TenantOut]("GET", "/tenant"))

    async def policy(self) -> PolicyBody:
        """Return whether consent is required, and how long people are kept."""
        return await self._send(Call[PolicyBody]("GET", "/policy"))

    async def set_policy(self, policy: PolicyBody) -> PolicyBody:
        """Set the policy; shortening `retention_days` erases people."""
        return await self._send(Call[PolicyBody]("PUT", "/policy", body=policy))
