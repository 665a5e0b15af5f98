"""Each tenant's consent and retention policy."""

from sqlalchemy.dialects.postgresql import insert

from app.domain.tenancy import Policy
from app.persistence.models import PolicyModel
from app.persistence.repositories.base import TenantRepository


class PolicyRepository(TenantRepository):
    """One tenant's policy."""

    async def get(self) -> Policy:
        """Return the tenant's policy, or the default policy."""
        row = await self._session.scalar(self._select(PolicyModel))
        return Policy(row.consent_required, row.retention_days) if row is not None else Policy()

    async def save(self, policy: Policy) -> None:
        """Create or replace the policy."""
        values = {"consent_required": policy.consent_required, "retention_days": policy.retention_days}
        statement = insert(PolicyModel).values(self._row(**values))
        await self._session.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=values))
