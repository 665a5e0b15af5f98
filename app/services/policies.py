"""What a tenant demands of its own faces: consent, and how long they are kept."""

from app.domain import Policy
from app.persistence.repositories.policies import PolicyRepository
from app.services.audit import AuditAction, AuditTrail


class PolicyService:
    """The policy of the caller's tenant."""

    def __init__(self, policies: PolicyRepository, trail: AuditTrail) -> None:
        self._policies = policies
        self._trail = trail

    async def get(self) -> Policy:
        """The policy in force."""
        return await self._policies.get()

    async def set(self, policy: Policy) -> Policy:
        """Set it: consent is demanded from the next registration on, retention applied by the next sweep."""
        await self._policies.put(policy)
        await self._trail.record(
            AuditAction.POLICY_CHANGED, consent_required=policy.consent_required, retention_days=policy.retention_days
        )
        return policy
