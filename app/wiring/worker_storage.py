"""Open what a worker needs to store the faces of one tenant, in a transaction of its own."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import TenantNotFound
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.pools import PoolRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateStore
from app.persistence.repositories.usage import UsageRepository
from app.persistence.template_protector import TemplateProtector
from app.services.audit.trail import WORKER, AuditTrails
from app.services.people.consent import ConsentGate
from app.services.people.face_storage import FaceStorage
from app.services.tenancy.quotas import QuotaService


async def open_worker_storage(
    session: AsyncSession, tenant_id: UUID, protector: TemplateProtector, trails: AuditTrails
) -> FaceStorage:
    """Build the storage under the tenant's present plan; raises `TenantNotFound`."""
    usage = UsageRepository(session, tenant_id)
    plan = await usage.get_plan()
    if plan is None:
        raise TenantNotFound
    return FaceStorage(
        TemplateStore(session, tenant_id, protector),
        ConsentGate(SubjectRepository(session, tenant_id), PolicyRepository(session, tenant_id)),
        QuotaService(usage, plan),
        trails.open(session, tenant_id, WORKER),
        PoolRepository(session, tenant_id),
    )
