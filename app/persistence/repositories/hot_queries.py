"""What every recognition asks before its inference, each in one round trip (functions of migrations 0006 and 0015).

Who calls, may they do it once more this month, which collection: as transactions through the ORM these took longer than
finding a face does. Everything rarer goes through the other repositories.
"""

import json
from typing import Any, NamedTuple
from uuid import UUID

from app.permissions import ROLE_PERMISSIONS, Plan, Principal, Role
from app.persistence.connections.database import Database


class FoundCollection(NamedTuple):
    """A collection's id, and the recognizers it is searched and stored with, as far as it has its own."""

    id: UUID
    recognizer: str | None
    secondary: str | None


class HotQueries:
    """One tenant's answers; each function enters the tenant itself, so that row-level security binds it."""

    def __init__(self, database: Database, tenant_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id

    async def find_user(self, session_id: UUID, user_id: UUID) -> Principal | None:
        """The user behind a session that is neither revoked nor expired, with the role they have now."""
        row = await self._database.fetch_row(
            "SELECT email, role, plan, rates::text AS rates, quotas::text AS quotas FROM vultus_find_user($1, $2, $3)",
            self._tenant_id,
            session_id,
            user_id,
        )
        if row is None:
            return None
        role = Role(row["role"])
        return Principal(
            self._tenant_id,
            ROLE_PERMISSIONS[role],
            read_plan(row["plan"], json.loads(row["rates"]), json.loads(row["quotas"])),
            user_id=user_id,
            session_id=session_id,
            email=row["email"],
            role=role,
        )

    async def count_recognitions(self, most: int | None, images: int) -> bool:
        """Count so many recognitions of this month; False, without counting, if they would be more than `most`."""
        row = await self._database.fetch_row(
            "SELECT vultus_count_recognitions($1, $2, $3) AS done", self._tenant_id, most, images
        )
        return bool(row["done"])

    async def find_collection(self, name: str) -> FoundCollection | None:
        """The collection of this name."""
        row = await self._database.fetch_row(
            "SELECT id, recognizer, secondary_recognizer FROM vultus_find_gallery($1, $2)", self._tenant_id, name
        )
        return FoundCollection(*row) if row is not None else None


def read_plan(name: str, rates: dict[str, str], quotas: dict[str, Any]) -> Plan:
    """The domain's value of a stored plan."""
    # Written past our checks, a quota that is no number would be no quota: none of it, rather than all.
    sane = {quota: most if most is None or isinstance(most, int) else 0 for quota, most in quotas.items()}
    return Plan(name, rates, sane)
