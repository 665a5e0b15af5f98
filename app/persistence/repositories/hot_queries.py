"""The queries of every recognition before its inference, each in one round trip (functions of migrations 0006, 0015).

They find the caller, count the monthly quota and find the collection. Through the ORM they took longer than detecting
a face. Rarer queries use the other repositories.
"""

import json
from typing import Any, NamedTuple
from uuid import UUID

from app.permissions import ROLE_PERMISSIONS, Plan, Principal, Role
from app.persistence.connections.database import Database


class FoundCollection(NamedTuple):
    """A collection's id and its recognizers; None where it has no recognizer of its own."""

    id: UUID
    recognizer: str | None
    secondary: str | None


class HotQueries:
    """One tenant's hot queries; each SQL function sets the tenant itself, so that row-level security applies."""

    def __init__(self, database: Database, tenant_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id

    async def find_user(self, session_id: UUID, user_id: UUID) -> Principal | None:
        """Find the user of a session that is neither revoked nor expired, with their current role."""
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

    async def count_recognitions(self, quota: int | None, images: int) -> bool:
        """Add `images` to this month's recognitions; return False and add nothing if that would exceed `quota`."""
        row = await self._database.fetch_row(
            "SELECT vultus_count_recognitions($1, $2, $3) AS done", self._tenant_id, quota, images
        )
        return bool(row["done"])

    async def find_collection(self, name: str) -> FoundCollection | None:
        row = await self._database.fetch_row(
            "SELECT id, recognizer, secondary_recognizer FROM vultus_find_gallery($1, $2)", self._tenant_id, name
        )
        return FoundCollection(*row) if row is not None else None


def read_plan(name: str, rates: dict[str, str], quotas: dict[str, Any]) -> Plan:
    """Convert a stored plan; a quota that is neither an integer nor null counts as 0."""
    # Fail closed: somebody may have edited the table directly, and an unreadable quota must not mean "no limit".
    checked = {name: limit if limit is None or isinstance(limit, int) else 0 for name, limit in quotas.items()}
    return Plan(name, rates, checked)
