"""Define the requests and responses of invitations, forgotten passwords, sessions and second factors."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.accounts import Invitation, LinkKind, SessionRecord
from app.permissions import Role
from app.schemas import answer_fields as answer
from app.schemas.fields import Email, NewPassword
from app.schemas.request_body import RequestBody
from app.schemas.text_rules import PRINTABLE
from app.services.access.account_links import IssuedInvitation, IssuedReset, ShownLink
from app.services.access.second_factors import Enrollment, SecondFactorState

LinkToken = Annotated[
    str,
    PRINTABLE,
    Field(max_length=100, description="The part of the link after `#`.", examples=["vi_k3Xw9QmT2bLzR7Ya_..."]),
]
Code = Annotated[
    str,
    PRINTABLE,
    Field(
        min_length=6,
        max_length=40,
        description="The 6 digits that the authenticator app shows, or a recovery code.",
        examples=["492039"],
    ),
]
CurrentPassword = Annotated[
    str, Field(max_length=256, examples=["correct horse battery"], json_schema_extra={"format": "password"})
]
InvitationId = Annotated[UUID, Field(examples=["6a1f4c0e-55b2-4b7b-9a43-7d1f0a4f3c11"])]


class InvitationIn(RequestBody):
    """Somebody to invite."""

    email: Email = Field(examples=["grace@example.com"])
    role: Role = Role.VIEWER


class InvitationOut(BaseModel):
    """An invitation that can be accepted."""

    invitation_id: InvitationId
    email: answer.EmailText
    role: Role
    created_by: answer.Actor
    created_at: answer.CreatedAt
    expires_at: answer.ExpiresAt

    @classmethod
    def of(cls, one: Invitation) -> "InvitationOut":
        return cls(
            invitation_id=one.id,
            email=one.email,
            role=Role(one.role),
            created_by=one.created_by,
            created_at=one.created_at,
            expires_at=one.expires_at,
        )


class IssuedInvitationOut(InvitationOut):
    """A new invitation with its link."""

    link: str = Field(
        description="The page that accepts the invitation, once. It is shown only in this response. A path if the "
        "server's public address is not set.",
        examples=["https://faces.example/console/invitation#vi_k3Xw9QmT2bLzR7Ya_..."],
    )
    is_mailed: bool = Field(description="Whether the link is also sent by mail.", examples=[True])

    @classmethod
    def issued(cls, issued: IssuedInvitation, link: str, *, is_mailed: bool) -> "IssuedInvitationOut":
        return cls(**InvitationOut.of(issued.invitation).model_dump(), link=link, is_mailed=is_mailed)


class InvitationPage(BaseModel):
    """One page of invitations."""

    items: list[InvitationOut]
    next_cursor: answer.NextCursor


class ResetLinkOut(BaseModel):
    """A link by which a user chooses a new password."""

    user_id: answer.UserId
    email: answer.EmailText
    expires_at: answer.ExpiresAt
    link: str = Field(
        description="The page that sets the password, once. It is shown only in this response. A path if the server's "
        "public address is not set.",
        examples=["https://faces.example/console/reset#vr_k3Xw9QmT2bLzR7Ya_..."],
    )

    @classmethod
    def issued(cls, issued: IssuedReset, link: str) -> "ResetLinkOut":
        return cls(user_id=issued.user_id, email=issued.email, expires_at=issued.expires_at, link=link)


class LinkIn(RequestBody):
    """A link to look at."""

    token: LinkToken


class LinkOut(BaseModel):
    """What a link is for."""

    kind: LinkKind = Field(examples=["invitation"])
    tenant: answer.TenantName
    email: answer.EmailText
    role: Role | None = Field(description="The role of the invited user. Null: the link resets a password.")
    expires_at: answer.ExpiresAt

    @classmethod
    def of(cls, shown: ShownLink) -> "LinkOut":
        link = shown.link
        role = Role(link.role) if link.role is not None else None
        return cls(kind=link.kind, tenant=shown.tenant, email=link.email, role=role, expires_at=link.expires_at)


class LinkPasswordIn(RequestBody):
    """A link, and the password to set."""

    token: LinkToken
    password: NewPassword


class ForgottenIn(RequestBody):
    """Whose password was forgotten."""

    email: Email


class SessionOut(BaseModel):
    """A session that is neither ended nor expired."""

    session_id: UUID = Field(examples=["e7b2c0aa-1a3f-4f0e-9d55-3b1c2a4d5e6f"])
    is_current: bool = Field(description="Whether this request belongs to it.", examples=[True])
    is_console: bool = Field(description="Whether a browser began it in the console.", examples=[True])
    created_at: answer.CreatedAt
    last_used_at: answer.UpdatedAt | None = Field(description="When its tokens were last refreshed, if ever.")
    expires_at: answer.ExpiresAt

    @classmethod
    def of(cls, one: SessionRecord, current: UUID | None) -> "SessionOut":
        return cls(
            session_id=one.id,
            is_current=one.id == current,
            is_console=one.is_console,
            created_at=one.created_at,
            last_used_at=one.last_used_at,
            expires_at=one.expires_at,
        )


class SessionList(BaseModel):
    """The caller's sessions, newest first; at most 100."""

    items: list[SessionOut]


class SecondFactorOut(BaseModel):
    """The state of the caller's second factor."""

    is_enabled: bool = Field(examples=[True])
    enabled_at: answer.CreatedAt | None = Field(description="Null: not enabled.")
    recovery_codes: int = Field(description="How many recovery codes were not used yet.", examples=[10])
    is_required: bool = Field(description="Whether the tenant's policy demands a second factor.", examples=[False])

    @classmethod
    def of(cls, state: SecondFactorState) -> "SecondFactorOut":
        return cls(
            is_enabled=state.confirmed_at is not None,
            enabled_at=state.confirmed_at,
            recovery_codes=state.recovery_codes,
            is_required=state.is_required,
        )


class EnrollIn(RequestBody):
    """The current password."""

    password: CurrentPassword


class EnrollmentOut(BaseModel):
    """A secret for an authenticator app; shown only in this response."""

    secret: str = Field(description="To type into an app, in base32.", examples=["your-secret-in-base32"])
    uri: str = Field(examples=["otpauth://totp/Vultus:ada%40example.com?secret=...&issuer=Vultus"])
    qr_code: str = Field(
        description="A picture of the URI for apps to scan, as a `data:` URI of an SVG.",
        examples=["data:image/svg+xml,..."],
    )

    @classmethod
    def of(cls, enrollment: Enrollment) -> "EnrollmentOut":
        return cls(secret=enrollment.secret, uri=enrollment.uri, qr_code=enrollment.qr_code)


class CodeIn(RequestBody):
    """A code of the authenticator app."""

    code: Code


class SecondFactorProofIn(RequestBody):
    """The current password, and a code of the second factor."""

    password: CurrentPassword
    code: Code


class RecoveryCodesOut(BaseModel):
    """Codes that replace the authenticator app, each once; shown only in this response."""

    recovery_codes: list[str] = Field(examples=[["k3xw-9qmt-2bhz-r7ya"]])
