"""Tenants, plans, usage, policies and object stores."""

from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.persistence.models.base import Base, TenantOwned


class TenantModel(Base):
    """A customer of the service; the isolation boundary."""

    __tablename__ = "tenants"
    __table_args__ = (Index("ix_tenants_created_at_id", "created_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    plan: Mapped[str] = mapped_column(ForeignKey("plans.name"), server_default="free")


class PlanModel(Base):
    """A plan's rates (such as `60/minute`) and quotas (null: no limit)."""

    __tablename__ = "plans"

    name: Mapped[str] = mapped_column(primary_key=True)
    rates: Mapped[dict[str, Any]]
    quotas: Mapped[dict[str, Any]]


class UsageModel(TenantOwned):
    """A tenant's counts; triggers update the stored objects, so that cascading deletes count too."""

    __tablename__ = "tenant_usage"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    templates: Mapped[int] = mapped_column(BigInteger, server_default="0")
    collections: Mapped[int] = mapped_column(BigInteger, server_default="0")
    users: Mapped[int] = mapped_column(BigInteger, server_default="0")
    month: Mapped[date] = mapped_column(server_default=text("date_trunc('month', now())::date"))
    recognitions: Mapped[int] = mapped_column(BigInteger, server_default="0")
    video_month: Mapped[date] = mapped_column(server_default=text("date_trunc('month', now())::date"))
    video_seconds: Mapped[int] = mapped_column(BigInteger, server_default="0")


class RateCounterModel(Base):
    """Requests in one rate window; shared by all workers and hosts."""

    __tablename__ = "rate_counters"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    key: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime]


class PolicyModel(TenantOwned):
    """A tenant's consent and retention policy and its protocol options; no row means the defaults."""

    __tablename__ = "tenant_policies"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),)

    consent_required: Mapped[bool] = mapped_column(server_default="false")
    retention_days: Mapped[int | None]
    second_factor_required: Mapped[bool] = mapped_column(server_default="false")
    placeholder_attributes: Mapped[bool] = mapped_column(server_default="false")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class ObjectStoreModel(TenantOwned):
    """The S3-compatible store of a tenant's photos, with credentials; the secret is encrypted."""

    __tablename__ = "object_stores"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),)

    endpoint: Mapped[str]
    region: Mapped[str]
    access_key_id: Mapped[str]
    key_id: Mapped[str]
    secret_encrypted: Mapped[bytes]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class ErasureMarkModel(Base):
    """The position in bytes up to which this database has applied an erasure journal."""

    __tablename__ = "erasure_marks"

    journal: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)


class UsageDayModel(TenantOwned):
    """A caller's calls of one operation on one day (UTC), and the photos and seconds of videos in them."""

    __tablename__ = "usage_days"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),)

    day: Mapped[date] = mapped_column(primary_key=True)
    operation: Mapped[str] = mapped_column(primary_key=True)
    caller: Mapped[str] = mapped_column(primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger)
    images: Mapped[int] = mapped_column(BigInteger)
    video_seconds: Mapped[int] = mapped_column(BigInteger, server_default="0")
