"""The tables. Every row that belongs to a tenant carries tenant_id, and it leads every key.

Users and their sessions are logins and hold no biometrics; subjects and templates are biometrics and know no login.
"""

from app.persistence.models.audit import AuditEntryModel, AuditHeadModel
from app.persistence.models.base import Base, TenantOwned, TenantRow
from app.persistence.models.biometrics import (
    COVERED_PLACES,
    CollectionModel,
    GalleryModel,
    SubjectModel,
    TemplateModel,
    TemplateSaltModel,
)
from app.persistence.models.logins import (
    AccessKeyModel,
    ApiKeyModel,
    IdempotencyRecordModel,
    LoginAttemptsModel,
    SessionModel,
    UserModel,
)
from app.persistence.models.tenants import (
    ErasureMarkModel,
    ObjectStoreModel,
    PlanModel,
    PolicyModel,
    RateCounterModel,
    TenantModel,
    UsageDayModel,
    UsageModel,
)

TENANT_TABLES: tuple[type[TenantOwned], ...] = (
    UserModel,
    SessionModel,
    ApiKeyModel,
    AccessKeyModel,
    IdempotencyRecordModel,
    CollectionModel,
    SubjectModel,
    GalleryModel,
    TemplateModel,
    TemplateSaltModel,
    UsageModel,
    UsageDayModel,
    PolicyModel,
    ObjectStoreModel,
    AuditHeadModel,
    AuditEntryModel,
)

__all__ = [
    "COVERED_PLACES",
    "TENANT_TABLES",
    "AccessKeyModel",
    "ApiKeyModel",
    "AuditEntryModel",
    "AuditHeadModel",
    "Base",
    "CollectionModel",
    "ErasureMarkModel",
    "GalleryModel",
    "IdempotencyRecordModel",
    "LoginAttemptsModel",
    "ObjectStoreModel",
    "PlanModel",
    "PolicyModel",
    "RateCounterModel",
    "SessionModel",
    "SubjectModel",
    "TemplateModel",
    "TemplateSaltModel",
    "TenantModel",
    "TenantOwned",
    "TenantRow",
    "UsageDayModel",
    "UsageModel",
    "UserModel",
]
