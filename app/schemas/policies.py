"""A tenant's policy."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.domain.tenancy import Policy


class PolicyBody(BaseModel):
    """Consent and retention, as asked for and as answered."""

    model_config = ConfigDict(
        # Strict: `true` for a number of days would be one day, and erase everybody.
        extra="forbid",
        strict=True,
        json_schema_extra={"example": {"consent_required": True, "retention_days": 365}},
    )

    consent_required: bool = Field(default=False, description="Refuse to store a face without a recorded consent.")
    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        default=None, description="Erase a person so long after they were last registered or changed; null: never."
    )

    def policy(self) -> Policy:
        """As the domain's value."""
        return Policy(self.consent_required, self.retention_days)

    @classmethod
    def of(cls, policy: Policy) -> "PolicyBody":
        """From the domain's value."""
        return cls(consent_required=policy.consent_required, retention_days=policy.retention_days)
