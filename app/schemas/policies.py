"""Define the request and response of a tenant's privacy policy."""

from typing import Annotated

from pydantic import ConfigDict, Field

from app.domain.tenancy import Policy
from app.schemas.fields import JSON_NUMBER
from app.schemas.request_body import RequestBody


class PolicyBody(RequestBody):
    """The tenant's rules for consent and retention, and for signing in."""

    model_config = ConfigDict(
        # Strict mode: otherwise `true` would count as 1 retention day, and erase every subject.
        strict=True,
    )

    consent_required: bool = Field(default=False, description="Whether storing a face requires a recorded consent.")
    retention_days: Annotated[int, Field(strict=False, ge=1, le=36_500), JSON_NUMBER] | None = Field(
        default=None,
        description="Erase a subject this many days after their last registration or change. Null: never.",
        examples=[365],
    )

    second_factor_required: bool = Field(
        default=False,
        description="Whether users need a second factor. Those without one may then only set one up. Keys need none.",
    )

    def policy(self) -> Policy:
        return Policy(self.consent_required, self.retention_days, self.second_factor_required)

    @classmethod
    def of(cls, policy: Policy) -> "PolicyBody":
        return cls(
            consent_required=policy.consent_required,
            retention_days=policy.retention_days,
            second_factor_required=policy.second_factor_required,
        )
