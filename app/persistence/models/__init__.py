"""The tables. Every row that belongs to a tenant carries tenant_id, and it leads every key.

Users and their sessions are logins and hold no biometrics; subjects and templates are biometrics and know no login.
"""

from app.persistence.models.base import Base, TenantOwned, TenantRow
from app.persistence.models.biometrics import COVERED_PLACES, CollectionModel, GalleryModel, SubjectModel, TemplateModel
from app.persistence.models.logins import (
    AccessKeyModel,
    ApiKeyModel,
    LoginTriesModel,
    RememberedAnswerModel,
    SessionModel,
    UserModel,
)
from app.persistence.models.tenants import PlanModel, RateCounterModel, TenantModel, UsageModel

TENANT_TABLES: tuple[type[TenantOwned], ...] = (
    UserModel,
    SessionModel,
    ApiKeyModel,
    AccessKeyModel,
    RememberedAnswerModel,
    CollectionModel,
    SubjectModel,
    GalleryModel,
    TemplateModel,
    UsageModel,
)

__all__ = [
    "COVERED_PLACES",
    "TENANT_TABLES",
    "AccessKeyModel",
    "ApiKeyModel",
    "Base",
    "CollectionModel",
    "GalleryModel",
    "LoginTriesModel",
    "PlanModel",
    "RateCounterModel",
    "RememberedAnswerModel",
    "SessionModel",
    "SubjectModel",
    "TemplateModel",
    "TenantModel",
    "TenantOwned",
    "TenantRow",
    "UsageModel",
    "UserModel",
]
