"""What a worker remembers of tenants between requests: a guess that saves round trips, never an answer by itself.

The database checks a remembered plan before it counts by it. A collection is looked up by its remembered name together
with the caller, and only used if the request then names it.
"""

from dataclasses import dataclass
from uuid import UUID

from app.permissions import Plan

_MAX_TENANTS = 10_000


@dataclass(slots=True)
class KnownTenant:
    """The plan that the tenant had, the version of its row, and the collection that it last named."""

    plan: Plan | None = None
    plan_version: int = 0
    collection: str | None = None


class KnownTenants:
    """Remembers the tenants of recent requests; one per process, used from its event loop only."""

    def __init__(self) -> None:
        self._tenants: dict[UUID, KnownTenant] = {}

    def find(self, tenant_id: UUID) -> KnownTenant:
        """Return what is known of a tenant, to be read and changed."""
        known = self._tenants.pop(tenant_id, None) or KnownTenant()
        self._tenants[tenant_id] = known  # moved to the end: the dictionary stays ordered by use
        if len(self._tenants) > _MAX_TENANTS:
            del self._tenants[next(iter(self._tenants))]
        return known
