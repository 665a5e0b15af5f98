"""The database tables as SQLAlchemy models. Every tenant-owned row carries tenant_id, the first column of every key.

Login tables (users, sessions, keys) hold no biometrics; biometric tables (subjects, templates) refer to no login.
"""

from app.persistence.models.albums import (
    AlbumLinkModel,
    AlbumModel,
    DiscardedObjectModel,
    FaceCropModel,
    PhotoModel,
    PhotoTurnModel,
)
from app.persistence.models.audit import AuditEntryModel, AuditHeadModel
from app.persistence.models.base import Base, TenantOwned, TenantRow
from app.persistence.models.biometrics import (
    MAX_COVERED_SEQ,
    CollectionModel,
    GalleryModel,
    SubjectModel,
    SubjectTermModel,
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
from app.persistence.models.schedule import ScheduledWorkModel
from app.persistence.models.sightings import (
    AlbumPeopleModel,
    FaceConstraintModel,
    OperationModel,
    SightingModel,
    SightingRejectionModel,
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
    SubjectTermModel,
    GalleryModel,
    TemplateModel,
    TemplateSaltModel,
    UsageModel,
    UsageDayModel,
    PolicyModel,
    ObjectStoreModel,
    AuditHeadModel,
    AuditEntryModel,
    AlbumModel,
    PhotoModel,
    PhotoTurnModel,
    FaceCropModel,
    AlbumLinkModel,
    AlbumPeopleModel,
    SightingModel,
    SightingRejectionModel,
    FaceConstraintModel,
    OperationModel,
)

__all__ = [
    "MAX_COVERED_SEQ",
    "TENANT_TABLES",
    "AccessKeyModel",
    "AlbumLinkModel",
    "AlbumModel",
    "AlbumPeopleModel",
    "ApiKeyModel",
    "AuditEntryModel",
    "AuditHeadModel",
    "Base",
    "CollectionModel",
    "DiscardedObjectModel",
    "ErasureMarkModel",
    "FaceConstraintModel",
    "FaceCropModel",
    "GalleryModel",
    "IdempotencyRecordModel",
    "LoginAttemptsModel",
    "ObjectStoreModel",
    "OperationModel",
    "PhotoModel",
    "PhotoTurnModel",
    "PlanModel",
    "PolicyModel",
    "RateCounterModel",
    "ScheduledWorkModel",
    "SessionModel",
    "SightingModel",
    "SightingRejectionModel",
    "SubjectModel",
    "SubjectTermModel",
    "TemplateModel",
    "TemplateSaltModel",
    "TenantModel",
    "TenantOwned",
    "TenantRow",
    "UsageDayModel",
    "UsageModel",
    "UserModel",
]
