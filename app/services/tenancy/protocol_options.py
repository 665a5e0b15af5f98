"""Read and set a tenant's options for the Rekognition protocol."""

from app.domain.tenancy import ProtocolOptions
from app.persistence.repositories.policies import PolicyRepository
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail


class ProtocolOptionsService:
    """Manage the options of the caller's tenant."""

    def __init__(self, policies: PolicyRepository, trail: AuditTrail) -> None:
        self._policies = policies
        self._trail = trail

    async def get(self) -> ProtocolOptions:
        return await self._policies.get_protocol_options()

    async def set(self, options: ProtocolOptions) -> ProtocolOptions:
        await self._policies.save_protocol_options(options)
        await self._trail.record(
            AuditAction.PROTOCOL_OPTIONS_CHANGED, placeholder_attributes=options.placeholder_attributes
        )
        return options
