"""Links by which people set passwords, second factors and recovery codes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.persistence.models.base import TenantOwned, TenantRow


class AccountLinkModel(TenantRow):
    """A single-use link: an invitation with a role, or the reset of a user's password."""

    __tablename__ = "account_links"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
        Index("ix_account_links_tenant_id_kind_email", "tenant_id", "kind", "email"),
        Index("ix_account_links_tenant_id_user_id", "tenant_id", "user_id"),
        UniqueConstraint("public_id"),
    )

    kind: Mapped[str]
    email: Mapped[str]
    role: Mapped[str | None]
    user_id: Mapped[UUID | None]
    public_id: Mapped[str]
    key_id: Mapped[str]
    secret_hmac: Mapped[bytes]
    created_by: Mapped[str]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class SecondFactorModel(TenantOwned):
    """A user's secret for one-time codes, encrypted under the service key with id `key_id`."""

    __tablename__ = "second_factors"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_at: Mapped[datetime | None]
    key_id: Mapped[str]
    secret_encrypted: Mapped[bytes]
    last_step: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The time step of the last code that was used; older codes are refused."""


class RecoveryCodeModel(TenantRow):
    """The keyed hash of a code that replaces a one-time code once."""

    __tablename__ = "recovery_codes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["second_factors.tenant_id", "second_factors.user_id"], ondelete="CASCADE"
        ),
        Index("ix_recovery_codes_tenant_id_user_id", "tenant_id", "user_id"),
    )

    user_id: Mapped[UUID]
    code_hmac: Mapped[bytes]
    used_at: Mapped[datetime | None]
