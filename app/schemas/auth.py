"""Signing up, in and out."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.permissions import Principal, Role
from app.schemas.fields import DisplayName, Email, NewPassword, printable
from app.services.access.authentication import TokenPair
from app.services.tenancy.tenants import CreatedTenant


class SignupIn(BaseModel):
    """A new tenant and its first admin."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"tenant": "Acme", "email": "ada@example.com", "password": "correct horse battery"}
        },
    )

    tenant: DisplayName
    email: Email
    password: NewPassword


class SignupOut(BaseModel):
    """The tenant created."""

    tenant_id: UUID
    user_id: UUID
    tenant: str
    email: str
    role: Role = Role.ADMIN

    @classmethod
    def of(cls, created: CreatedTenant) -> "SignupOut":
        """From the service's result."""
        return cls(tenant_id=created.tenant_id, user_id=created.user_id, tenant=created.name, email=created.email)


class TokenForm(BaseModel):
    """OAuth2's password grant, as Swagger UI's Authorize sends it; the username is the email."""

    grant_type: Literal["password"] = "password"
    username: Annotated[str, AfterValidator(printable)] = Field(max_length=320, examples=["ada@example.com"])
    password: str = Field(max_length=256, json_schema_extra={"format": "password"})
    scope: str = ""
    client_id: str | None = None
    client_secret: str | None = Field(default=None, json_schema_extra={"format": "password"})


class RefreshIn(BaseModel):
    """The refresh token of the last answer; it works once."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str = Field(max_length=4096)


class TokenOut(BaseModel):
    """Tokens; send the access token as `Authorization: Bearer ...`."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int = Field(description="Seconds until the access token expires.", examples=[900])

    @classmethod
    def of(cls, pair: TokenPair) -> "TokenOut":
        """From the service's result."""
        return cls(access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in_s)


class PasswordIn(BaseModel):
    """A new password, and the one it replaces."""

    model_config = ConfigDict(extra="forbid")

    current: str = Field(max_length=256, json_schema_extra={"format": "password"})
    new: NewPassword


class MeOut(BaseModel):
    """Who the credential speaks for: a user, or a program with a key."""

    tenant_id: UUID
    user_id: UUID | None
    email: str | None
    role: Role | None
    key_id: UUID | None
    plan: str
    permissions: list[str]

    @classmethod
    def of(cls, principal: Principal) -> "MeOut":
        """From the caller."""
        return cls(
            tenant_id=principal.tenant_id,
            user_id=principal.user_id,
            email=principal.email,
            role=principal.role,
            key_id=principal.key_id,
            plan=principal.plan.name,
            permissions=sorted(principal.permissions),
        )
