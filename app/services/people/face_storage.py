"""Bundle the collaborators that every service needs to store faces."""

from dataclasses import dataclass

from app.persistence.repositories.pools import PoolRepository
from app.persistence.repositories.templates import TemplateStore
from app.services.audit.trail import AuditTrail
from app.services.people.consent import ConsentGate
from app.services.tenancy.quotas import QuotaService


@dataclass(frozen=True, slots=True)
class FaceStorage:
    """Template store, consent gate, quotas, audit trail and pools, within one transaction of one tenant."""

    templates: TemplateStore
    consent: ConsentGate
    quotas: QuotaService
    trail: AuditTrail
    pools: PoolRepository
