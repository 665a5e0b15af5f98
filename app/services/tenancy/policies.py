"""What a tenant demands of its own faces: consent, and how long they are kept."""

from app.domain.tenancy import Policy
from app.errors import PermissionDenied
from app.permissions import Permission, Principal
from app.persistence.repositories.policies import PolicyRepository
from app.services.audit.trail import AuditAction, AuditTrail


class PolicyService:
    """The policy of the caller's tenant."""

    def __init__(self, policies: PolicyRepository, trail: AuditTrail, principal: Principal) -> None:
        self._policies = policies
        self._principal = principal
        self._trail = trail

    async def get(self) -> Policy:
        """The policy in force."""
        return await self._policies.get()

    async def set(self, policy: Policy) -> Policy:
        """Set it: consent is demanded from the next registration on, retention applied by the next sweep.

        Raises `PermissionDenied` to who would erase by it what they may not erase.
        """
        old = (await self._policies.get()).retention_days
        is_shorter = policy.retention_days is not None and (old is None or policy.retention_days < old)
        if is_shorter and not (self._principal.may(Permission.DELETE) and self._principal.collections is None):
            raise PermissionDenied(
                "retention_days: only who may delete people in all collections may make their stay shorter."
            )
        await self._policies.put(policy)
        await self._trail.record(
            AuditAction.POLICY_CHANGED, consent_required=policy.consent_required, retention_days=policy.retention_days
        )
        return policy
