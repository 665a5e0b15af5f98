"""The tables. Every row that belongs to a tenant carries tenant_id, and it leads every key.

Users and their sessions are logins and hold no biometrics; subjects and templates are biometrics and know no login.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from pgvector.sqlalchemy import BIT, HALFVEC
from sqlalchemy import (
    BigInteger,
    Computed,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.domain import EMBEDDING_SIZE

COVERED_PLACES = 10_000
"""The places of a gallery whose embeddings stand in the covering index; a change needs a migration."""

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """All tables."""

    metadata = MetaData(naming_convention=_NAMING)
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text, dict[str, Any]: JSONB}


class TenantRow(Base):
    """A row that belongs to one tenant; the key begins with it, so PostgreSQL can be distributed by tenant."""

    __abstract__ = True

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TenantModel(Base):
    """A customer of the service; the isolation boundary."""

    __tablename__ = "tenants"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    plan: Mapped[str] = mapped_column(ForeignKey("plans.name"), server_default="free")


class PlanModel(Base):
    """What a tenant may do how often (rates, as `60/minute`) and have how much of (quotas; null: no limit)."""

    __tablename__ = "plans"

    name: Mapped[str] = mapped_column(primary_key=True)
    rates: Mapped[dict[str, Any]]
    quotas: Mapped[dict[str, Any]]


class UsageModel(Base):
    """What a tenant has and did; counted by triggers, so that cascades count too."""

    __tablename__ = "tenant_usage"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    templates: Mapped[int] = mapped_column(BigInteger, server_default="0")
    collections: Mapped[int] = mapped_column(BigInteger, server_default="0")
    users: Mapped[int] = mapped_column(BigInteger, server_default="0")
    month: Mapped[date] = mapped_column(server_default=text("date_trunc('month', now())::date"))
    recognitions: Mapped[int] = mapped_column(BigInteger, server_default="0")


class RateCounterModel(Base):
    """How often something was done in a window; shared by all workers and hosts."""

    __tablename__ = "rate_counters"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    key: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime]


class LoginTriesModel(Base):
    """Tries to sign in to one account from one address; the key is a keyed hash of both."""

    __tablename__ = "login_tries"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    key: Mapped[str] = mapped_column(primary_key=True)
    tries: Mapped[int]
    since: Mapped[datetime]
    blocked_until: Mapped[datetime | None]


class UserModel(TenantRow):
    """A login of a tenant."""

    __tablename__ = "users"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        # One login per email in the whole service: the password form names no tenant. Stored in lower case.
        UniqueConstraint("email"),
    )

    email: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str]


class SessionModel(TenantRow):
    """One sign-in: the family of its refresh tokens, of which only the one of this generation is good."""

    __tablename__ = "sessions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
        Index("ix_sessions_tenant_id_user_id", "tenant_id", "user_id"),
    )

    user_id: Mapped[UUID]
    generation: Mapped[int] = mapped_column(default=0)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ApiKeyModel(TenantRow):
    """A program's key: its public id, and the HMAC of its secret under the service key that `key_id` names."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        UniqueConstraint("public_id"),
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
    """A key pair for signed requests: verifying needs the secret itself, so it is encrypted, not hashed."""

    __tablename__ = "access_keys"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        UniqueConstraint("public_id"),
    )

    public_id: Mapped[str]
    key_id: Mapped[str]
    secret_encrypted: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class RememberedAnswerModel(TenantRow):
    """The answer to a request with an Idempotency-Key, for one principal and 24 hours."""

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


class CollectionModel(TenantRow):
    """A tenant's named gallery."""

    __tablename__ = "collections"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "name"),
    )

    name: Mapped[str]


class SubjectModel(TenantRow):
    """One person in one collection, under the caller's own id."""

    __tablename__ = "subjects"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["collections.tenant_id", "collections.id"], ondelete="CASCADE"
        ),
        UniqueConstraint("tenant_id", "collection_id", "subject"),
    )

    collection_id: Mapped[UUID]
    subject: Mapped[str]
    name: Mapped[str | None]
    # "metadata" is SQLAlchemy's own name on a mapped class.
    details: Mapped[dict[str, Any]] = mapped_column("metadata", server_default="{}")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class GalleryModel(TenantRow):
    """One collection's templates of one recogniser: what a search looks through.

    `last_seq` is the place of the newest template; whoever stores some takes the next places under the row's lock, so
    every template up to `last_seq` can be seen by whoever sees `last_seq`. `deletions` counts erased templates, `epoch`
    changes whenever an embedding does. The graph columns describe the HNSW index over the places up to `graph_upto`.
    """

    __tablename__ = "galleries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["collections.tenant_id", "collections.id"], ondelete="CASCADE"
        ),
        UniqueConstraint("tenant_id", "collection_id", "recognizer"),
    )

    collection_id: Mapped[UUID]
    recognizer: Mapped[str]
    templates: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    deletions: Mapped[int] = mapped_column(BigInteger, server_default="0")
    epoch: Mapped[int] = mapped_column(BigInteger, server_default="0")
    graph: Mapped[str | None]
    graph_upto: Mapped[int | None] = mapped_column(BigInteger)
    graph_recall: Mapped[float | None]
    graph_checked_at: Mapped[datetime | None]
    graph_trusted: Mapped[bool] = mapped_column(server_default="false")


class TemplateModel(TenantRow):
    """The stored record of one face. Half precision loses no match (docs/decisions) and halves every search."""

    __tablename__ = "templates"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "subject_id"], ["subjects.tenant_id", "subjects.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "gallery_id"], ["galleries.tenant_id", "galleries.id"], ondelete="CASCADE"
        ),
        Index(
            "ix_templates_tenant_id_subject_id_gallery_id_seq", "tenant_id", "subject_id", "gallery_id", "seq"
        ),
        # Searches read these two alone: tenant first for row-level security, the vectors inside the leaves. The first
        # holds embeddings only where they are compared whole: it would cost every registration in a large gallery.
        Index(
            "ix_templates_search", "tenant_id", "gallery_id", "seq",
            postgresql_include=["subject_id", "embedding"], postgresql_where=text(f"seq <= {COVERED_PLACES}"),
        ),
        Index("ix_templates_codes", "tenant_id", "gallery_id", "seq", unique=True, postgresql_include=["code"]),
    )  # fmt: skip

    collection_id: Mapped[UUID]
    subject_id: Mapped[UUID]
    gallery_id: Mapped[UUID]
    seq: Mapped[int] = mapped_column(BigInteger)
    recognizer: Mapped[str]
    embedding: Mapped[Any] = mapped_column(HALFVEC(EMBEDDING_SIZE), deferred=True)
    code: Mapped[Any] = mapped_column(
        BIT(EMBEDDING_SIZE), Computed("binary_quantize(embedding)::bit(512)", persisted=True), deferred=True,
        nullable=True,
    )  # fmt: skip
    """The sign of each number of the embedding; PostgreSQL makes it."""
    detection_score: Mapped[float]
    quality: Mapped[dict[str, Any]]
    source: Mapped[str]


TENANT_TABLES: tuple[type[TenantRow], ...] = (
    UserModel,
    SessionModel,
    ApiKeyModel,
    AccessKeyModel,
    RememberedAnswerModel,
    CollectionModel,
    SubjectModel,
    GalleryModel,
    TemplateModel,
)
