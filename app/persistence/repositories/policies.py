"""Each tenant's consent and retention policy, and its options for the Rekognition protocol."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert

from app.domain.tenancy import Policy, ProtocolOptions
from app.persistence.models import PolicyModel
from app.persistence.repositories.base import TenantRepository


class PolicyRepository(TenantRepository):
    """One tenant's policy."""

    async def get(self) -> Policy:
        """Return the tenant's policy, or the default policy."""
        row = await self._session.scalar(self._select(PolicyModel))
        if row is None:
            return Policy()
        return Policy(row.consent_required, row.retention_days, row.second_factor_required)

    async def save(self, policy: Policy) -> None:
        """Create or replace the policy."""
        await self._save(
            consent_required=policy.consent_required,
            retention_days=policy.retention_days,
            second_factor_required=policy.second_factor_required,
        )

    async def get_protocol_options(self) -> ProtocolOptions:
        row = await self._session.scalar(self._select(PolicyModel))
        return ProtocolOptions(row.placeholder_attributes) if row is not None else ProtocolOptions()

    async def save_protocol_options(self, options: ProtocolOptions) -> None:
        """Create or replace the options; the policy stays."""
        await self._save(placeholder_attributes=options.placeholder_attributes)

    async def _save(self, **values: Any) -> None:
        statement = insert(PolicyModel).values(self._row(**values))
        await self._session.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=values))
