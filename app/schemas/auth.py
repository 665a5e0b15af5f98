"""Define the requests and responses of signup, login and logout."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.permissions import Principal, Role
from app.schemas import answer_fields as answer
from app.schemas.fields import DisplayName, Email, NewPassword
from app.schemas.request_body import RequestBody
from app.schemas.text_rules import PRINTABLE
from app.services.access.authentication import TokenPair
from app.services.tenancy.tenants import CreatedTenant


class SignupIn(RequestBody):
    """A tenant to create, with the login of its first admin."""

    tenant: DisplayName = Field(description="The tenant's name.", examples=["Acme"])
    email: Email
    password: NewPassword


class SignupOut(BaseModel):
    """The new tenant and its first admin."""

    tenant_id: answer.TenantId
    user_id: answer.UserId
    tenant: answer.TenantName
    email: answer.EmailText
    role: Role = Role.ADMIN

    @classmethod
    def of(cls, created: CreatedTenant) -> "SignupOut":
        return cls(tenant_id=created.tenant_id, user_id=created.user_id, tenant=created.name, email=created.email)


class TokenForm(BaseModel):
    """An OAuth2 password grant. `username` is the email; `scope`, `client_id` and `client_secret` are ignored."""

    grant_type: Literal["password"] = "password"
    username: Annotated[str, PRINTABLE] = Field(max_length=320, examples=["ada@example.com"])
    password: str = Field(max_length=256, json_schema_extra={"format": "password"})
    code: Annotated[str, PRINTABLE] | None = Field(
        default=None,
        max_length=40,
        description="Of users with a second factor: the 6 digits of the authenticator app, or a recovery code.",
        examples=["492039"],
    )
    scope: str = ""
    client_id: str | None = None
    client_secret: str | None = Field(default=None, json_schema_extra={"format": "password"})


class RefreshIn(RequestBody):
    """A refresh token to exchange for new tokens."""

    refresh_token: str = Field(
        max_length=4096,
        description="The latest refresh token. Each one works once.",
        examples=["eyJhbGciOiJIUzI1NiIs..."],
    )


class TokenOut(BaseModel):
    """An access token, to send as `Authorization: Bearer <token>`, and a refresh token."""

    access_token: str = Field(examples=["eyJhbGciOiJIUzI1NiIs..."])
    refresh_token: str = Field(examples=["eyJhbGciOiJIUzI1NiIs..."])
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int = Field(description="Seconds until the access token expires.", examples=[900])

    @classmethod
    def of(cls, pair: TokenPair) -> "TokenOut":
        return cls(access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in_s)


class PasswordIn(RequestBody):
    """The current password and a new one."""

    current: str = Field(max_length=256, examples=["correct horse battery"], json_schema_extra={"format": "password"})
    new: NewPassword = Field(examples=["another correct horse"])


class MeOut(BaseModel):
    """The caller: a user, or a program with an API key."""

    tenant_id: answer.TenantId
    user_id: answer.UserId | None = Field(description="Null if the caller is an API key.")
    email: answer.EmailText | None = Field(description="Null if the caller is an API key.")
    role: Role | None = Field(description="Null if the caller is an API key.")
    key_id: answer.KeyId | None = Field(description="Null if the caller is a user.")
    plan: answer.PlanName
    permissions: list[str] = Field(examples=[["read", "recognize"]])

    @classmethod
    def of(cls, principal: Principal) -> "MeOut":
        return cls(
            tenant_id=principal.tenant_id,
            user_id=principal.user_id,
            email=principal.email,
            role=principal.role,
            key_id=principal.key_id,
            plan=principal.plan.name,
            permissions=sorted(principal.permissions),
        )
