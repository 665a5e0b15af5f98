"""Users, sessions, API keys and access keys: the login tables, which hold no biometrics."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.persistence.models.base import Base, TenantRow


class LoginAttemptsModel(Base):
    """Sign-in attempts to one account, from one address or from all; `known:` marks an address that signed in.

    The key is a keyed hash of the account and the address.
    """

    __tablename__ = "login_attempts"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    key: Mapped[str] = mapped_column(primary_key=True)
    attempts: Mapped[int]
    since: Mapped[datetime]
    blocked_until: Mapped[datetime | None]


class UserModel(TenantRow):
    """A user of a tenant."""

    __tablename__ = "users"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        Index("ix_users_tenant_id_created_at_id", "tenant_id", "created_at", "id"),
        # Emails are unique across tenants, because the sign-in form names no tenant. Stored in lower case.
        UniqueConstraint("email"),
    )

    email: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str]


class SessionModel(TenantRow):
    """One sign-in and its family of refresh tokens; only the token of this generation is valid."""

    __tablename__ = "sessions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
        Index("ix_sessions_tenant_id_user_id", "tenant_id", "user_id"),
    )

    user_id: Mapped[UUID]
    generation: Mapped[int] = mapped_column(default=0)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    is_console: Mapped[bool] = mapped_column(server_default="false")
    """Whether a browser began it by the console's form."""
    last_used_at: Mapped[datetime | None]
    """When its tokens were last refreshed."""


class ApiKeyModel(TenantRow):
    """A program's API key: its public id, and the HMAC of its secret under the service key with id `key_id`."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        UniqueConstraint("public_id"),
        *(
            Index(f"ix_api_keys_{'_'.join(columns)}", *columns, postgresql_where=text("revoked_at IS NULL"))
            for columns in (("tenant_id", "created_at", "id"), ("tenant_id", "name"))
        ),
    )

    name: Mapped[str]
    public_id: Mapped[str]
    key_id: Mapped[str]
    secret_hmac: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    collections: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AccessKeyModel(TenantRow):
    """An access key for signed requests; the secret is encrypted, not hashed, because verification needs it."""

    __tablename__ = "access_keys"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        UniqueConstraint("public_id"),
        Index(
            "ix_access_keys_tenant_id_created_at_id",
            "tenant_id",
            "created_at",
            "id",
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    public_id: Mapped[str]
    key_id: Mapped[str]
    secret_encrypted: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class IdempotencyRecordModel(TenantRow):
    """The stored response to a request with an Idempotency-Key, for one principal and 24 hours."""

    __tablename__ = "remembered_answers"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "principal", "key"),
    )

    principal: Mapped[str]
    key: Mapped[str]
    fingerprint: Mapped[bytes]
    about: Mapped[str | None]
    status: Mapped[int | None]
    body: Mapped[str | None]
