"""Read and set a tenant's policy: whether consent is required, and how long subjects are kept."""

from app.domain.tenancy import Policy
from app.errors import PermissionDenied
from app.permissions import Permission, Principal
from app.persistence.repositories.policies import PolicyRepository
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail


class PolicyService:
    """Manage the policy of the caller's tenant."""

    def __init__(self, policies: PolicyRepository, trail: AuditTrail, principal: Principal) -> None:
        self._policies = policies
        self._principal = principal
        self._trail = trail

    async def get(self) -> Policy:
        return await self._policies.get()

    async def set(self, policy: Policy) -> Policy:
        """Set the policy: the next registration requires consent, the next sweep applies the retention.

        A shorter retention erases subjects; raises `PermissionDenied` unless the caller may delete in all collections.
        """
        old_days = (await self._policies.get()).retention_days
        is_shorter = policy.retention_days is not None and (old_days is None or policy.retention_days < old_days)
        if is_shorter and not (self._principal.may(Permission.DELETE) and self._principal.collections is None):
            raise PermissionDenied(
                f"retention_days: shortening the retention from {old_days or 'unlimited'} to {policy.retention_days} "
                f"days erases subjects, which requires the delete permission for all collections."
            )
        await self._policies.save(policy)
        await self._trail.record(
            AuditAction.POLICY_CHANGED,
            consent_required=policy.consent_required,
            retention_days=policy.retention_days,
            second_factor_required=policy.second_factor_required,
        )
        return policy
