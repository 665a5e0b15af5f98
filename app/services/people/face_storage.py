"""What storing a face always involves: the templates, the consent, the quota, and the audit entry."""

from dataclasses import dataclass

from app.persistence.repositories.templates import TemplateStore
from app.services.audit.trail import AuditTrail
from app.services.people.consent import ConsentGate
from app.services.tenancy.quotas import QuotaService


@dataclass(frozen=True, slots=True)
class FaceStorage:
    """The collaborators of every service that stores faces, within one transaction of one tenant."""

    templates: TemplateStore
    consent: ConsentGate
    quotas: QuotaService
    trail: AuditTrail
