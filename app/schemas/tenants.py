"""A tenant, its plan and its users."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.domain.tenancy import TenantOverview, UserRecord
from app.permissions import Role
from app.schemas.fields import Email, NewPassword


class QuotaOut(BaseModel):
    """One quota; `most` is null where there is no limit."""

    used: int
    most: int | None


class TenantOut(BaseModel):
    """The caller's tenant."""

    tenant_id: UUID
    name: str
    plan: str
    rates: dict[str, str] = Field(examples=[{"recognize": "60/minute"}])
    quotas: dict[str, QuotaOut]

    @classmethod
    def of(cls, tenant_id: UUID, overview: TenantOverview) -> "TenantOut":
        """From the service's result."""
        plan = overview.plan
        return cls(
            tenant_id=tenant_id,
            name=overview.name,
            plan=plan.name,
            rates=dict(plan.rates),
            quotas={quota.value: QuotaOut(used=used, most=plan.quota(quota)) for quota, used in overview.used.items()},
        )


class UserIn(BaseModel):
    """A user to add."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: NewPassword
    role: Role = Role.VIEWER


class RoleIn(BaseModel):
    """Another role."""

    model_config = ConfigDict(extra="forbid")

    role: Role


class UserOut(BaseModel):
    """A login of the tenant."""

    user_id: UUID
    email: str
    role: Role
    created_at: datetime

    @classmethod
    def of(cls, user: UserRecord) -> "UserOut":
        """From the service's result."""
        return cls(user_id=user.id, email=user.email, role=Role(user.role), created_at=user.created_at)


class UserList(BaseModel):
    """All users; a plan keeps them few."""

    items: list[UserOut]
