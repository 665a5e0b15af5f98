"""Tenants and plans as the operator sees them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.domain.tenancy import TenantRecord
from app.permissions import Permission, Plan, Quota
from app.schemas.auth import SignupIn
from app.schemas.fields import CollectionName
from app.settings import check_rate

PlanName = CollectionName  # the same letters do
Rate = Annotated[str, AfterValidator(check_rate), Field(max_length=100, examples=["60/minute; 10000/day"])]


QuotaNumber = Annotated[int, Field(ge=0, le=10**12)]


class TenantIn(SignupIn):
    """A tenant to create, with its first admin and its plan."""

    plan: PlanName = "free"


class SetPlanIn(BaseModel):
    """Another plan."""

    model_config = ConfigDict(extra="forbid")

    plan: PlanName


class TenantRecordOut(BaseModel):
    """A tenant."""

    tenant_id: UUID
    name: str
    plan: str
    templates: int
    created_at: datetime

    @classmethod
    def of(cls, tenant: TenantRecord) -> "TenantRecordOut":
        """From the service's result."""
        return cls(
            tenant_id=tenant.id,
            name=tenant.name,
            plan=tenant.plan,
            templates=tenant.templates,
            created_at=tenant.created_at,
        )


class TenantList(BaseModel):
    """All tenants."""

    items: list[TenantRecordOut]


class PlanIn(BaseModel):
    """What a plan includes; a rate that is not named is 60/minute, a quota that is not named has no limit."""

    model_config = ConfigDict(extra="forbid")

    rates: dict[Permission, Rate] = Field(default_factory=dict)
    quotas: dict[Quota, QuotaNumber | None] = Field(default_factory=dict)


class PlanOut(BaseModel):
    """A plan."""

    name: str
    rates: dict[str, str]
    quotas: dict[str, int | None]

    @classmethod
    def of(cls, plan: Plan) -> "PlanOut":
        """From the service's result."""
        return cls(name=plan.name, rates=dict(plan.rates), quotas=dict(plan.quotas))


class PlanList(BaseModel):
    """All plans."""

    items: list[PlanOut]
