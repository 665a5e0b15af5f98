"""Define the requests and responses of the operator's API: tenants and plans."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from app.domain.tenancy import TenantRecord
from app.permissions import UNLIMITED, Permission, Plan, Quota
from app.schemas import answer_fields as answer
from app.schemas.auth import SignupIn
from app.schemas.fields import JSON_NUMBER, CollectionName
from app.schemas.request_body import RequestBody
from app.schemas.text_rules import RATE
from app.setting_formats import check_rate

PlanName = CollectionName  # the same characters and length


def _check_plan_rate(value: str) -> str:
    return value if value == UNLIMITED else check_rate(value)


Rate = Annotated[str, AfterValidator(_check_plan_rate), RATE, Field(max_length=100, examples=["60/minute; 10000/day"])]
QuotaNumber = Annotated[int, Field(ge=0, le=10**12), JSON_NUMBER]


class TenantIn(SignupIn):
    """A tenant to create, with its plan and the login of its first admin."""

    plan: PlanName = Field(
        default=UNLIMITED,
        description="The plan; `unlimited` unless you name one, as with `vultus tenants create`. A tenant that signs "
        "up gets `free`.",
    )


class SetPlanIn(RequestBody):
    """The plan to assign to a tenant."""

    plan: PlanName = Field(examples=["free"])


class TenantRecordOut(BaseModel):
    """A tenant as the operator sees it."""

    tenant_id: answer.TenantId
    name: answer.TenantName
    plan: answer.PlanName
    templates: int = Field(description="Number of stored templates.", examples=[7500])
    created_at: answer.CreatedAt

    @classmethod
    def of(cls, tenant: TenantRecord) -> "TenantRecordOut":
        return cls(
            tenant_id=tenant.id,
            name=tenant.name,
            plan=tenant.plan,
            templates=tenant.templates,
            created_at=tenant.created_at,
        )


class TenantPage(BaseModel):
    """One page of tenants."""

    items: list[TenantRecordOut]
    next_cursor: answer.NextCursor


class PlanIn(RequestBody):
    """The rate limits and quotas of a plan."""

    rates: dict[Permission, Rate] = Field(
        default_factory=dict, description="Rate limits by permission, or `unlimited`. Default for each: 60/minute."
    )
    quotas: dict[Quota, QuotaNumber | None] = Field(
        default_factory=dict, description="Maximum amounts. Null or omitted: no limit."
    )

    def plan(self, name: str) -> Plan:
        return Plan(
            name,
            {permission.value: rate for permission, rate in self.rates.items()},
            {quota.value: limit for quota, limit in self.quotas.items()},
        )


class PlanOut(BaseModel):
    """A plan with its rate limits and quotas."""

    name: answer.PlanName
    rates: answer.Rates
    quotas: dict[str, int | None] = Field(
        description="Maximum amounts. Null: no limit.", examples=[{"templates": 10_000, "users": None}]
    )

    @classmethod
    def of(cls, plan: Plan) -> "PlanOut":
        quotas = {quota.value: plan.quota(quota) for quota in Quota}
        return cls(name=plan.name, rates=plan.all_rates(), quotas=quotas)


class PlanPage(BaseModel):
    """One page of plans."""

    items: list[PlanOut]
    next_cursor: answer.NextCursor
