"""What every recognition asks before its inference, in plain SQL on a brief transaction (`Database.brief`).

Who calls, may they do it once more this month, which collection: asked through the ORM these took longer than finding a
face does. Everything rarer goes through the other repositories.
"""

import json
from typing import Any
from uuid import UUID

from app.permissions import ROLE_PERMISSIONS, Plan, Principal, Role

_USER = """
SELECT users.email, users.role, plans.name, plans.rates, plans.quotas
FROM sessions
JOIN users ON users.tenant_id = $1 AND users.id = sessions.user_id
JOIN tenants ON tenants.id = $1
JOIN plans ON plans.name = tenants.plan
WHERE sessions.tenant_id = $1 AND sessions.id = $2 AND sessions.user_id = $3
  AND sessions.revoked_at IS NULL AND sessions.expires_at > now()
"""
_COUNT = """
UPDATE tenant_usage SET
    month = date_trunc('month', now())::date,
    recognitions = $3::bigint + CASE WHEN month = date_trunc('month', now())::date THEN recognitions ELSE 0 END
WHERE tenant_id = $1 AND ($2::bigint IS NULL
    OR CASE WHEN month = date_trunc('month', now())::date THEN recognitions ELSE 0 END + $3 <= $2)
RETURNING recognitions
"""
_COLLECTION = "SELECT id FROM collections WHERE tenant_id = $1 AND name = $2"


class BriefRepository:
    """One tenant's answers; the connection is asyncpg's own."""

    def __init__(self, connection: Any, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def find_user(self, session_id: UUID, user_id: UUID) -> Principal | None:
        """The user behind a session that is neither revoked nor expired, with the role they have now."""
        row = await self._connection.fetchrow(_USER, self._tenant_id, session_id, user_id)
        if row is None:
            return None
        role = Role(row["role"])
        return Principal(
            self._tenant_id, ROLE_PERMISSIONS[role],
            read_plan(row["name"], _from_json(row["rates"]), _from_json(row["quotas"])),
            user_id=user_id, session_id=session_id, email=row["email"], role=role,
        )  # fmt: skip

    async def count_recognitions(self, most: int | None, images: int) -> bool:
        """Count so many recognitions of this month; False, without counting, if they would be more than `most`."""
        return await self._connection.fetchval(_COUNT, self._tenant_id, most, images) is not None

    async def find_collection(self, name: str) -> UUID | None:
        """The id of the collection of this name."""
        found: UUID | None = await self._connection.fetchval(_COLLECTION, self._tenant_id, name)
        return found


def read_plan(name: str, rates: dict[str, str], quotas: dict[str, Any]) -> Plan:
    """The domain's value of a stored plan."""
    # Written past our checks, a quota that is no number would be no quota: none of it, rather than all.
    sane = {quota: most if most is None or isinstance(most, int) else 0 for quota, most in quotas.items()}
    return Plan(name, rates, sane)


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
