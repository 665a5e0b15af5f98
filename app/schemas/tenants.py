"""Define the requests and responses of the caller's tenant and its users."""

from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.tenancy import TenantOverview, UserRecord
from app.permissions import Role
from app.schemas import answer_fields as answer
from app.schemas.fields import Email, NewPassword
from app.schemas.request_body import RequestBody


class QuotaOut(BaseModel):
    """A quota and its current usage."""

    used: int = Field(examples=[7500])
    limit: int | None = Field(description="Null: no limit.", examples=[10_000])


class TenantOut(BaseModel):
    """The caller's tenant with its plan and usage."""

    tenant_id: answer.TenantId
    name: answer.TenantName
    plan: answer.PlanName
    rates: answer.Rates
    quotas: dict[str, QuotaOut] = Field(examples=[{"templates": {"used": 7500, "limit": 10_000}}])

    @classmethod
    def of(cls, tenant_id: UUID, overview: TenantOverview) -> "TenantOut":
        plan = overview.plan
        return cls(
            tenant_id=tenant_id,
            name=overview.name,
            plan=plan.name,
            rates=plan.all_rates(),
            quotas={quota.value: QuotaOut(used=used, limit=plan.quota(quota)) for quota, used in overview.used.items()},
        )


class UserIn(RequestBody):
    """A user to add."""

    email: Email = Field(examples=["grace@example.com"])
    password: NewPassword
    role: Role = Role.VIEWER


class RoleIn(RequestBody):
    """The role to assign to a user."""

    role: Role = Field(examples=[Role.VIEWER])


class UserOut(BaseModel):
    """A user who can log in to the tenant."""

    user_id: answer.UserId
    email: answer.EmailText
    role: Role
    created_at: answer.CreatedAt

    @classmethod
    def of(cls, user: UserRecord) -> "UserOut":
        return cls(user_id=user.id, email=user.email, role=Role(user.role), created_at=user.created_at)


class UserPage(BaseModel):
    """One page of the tenant's users."""

    items: list[UserOut]
    next_cursor: answer.NextCursor
