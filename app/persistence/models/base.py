"""Base classes of the tables; tenant-owned rows carry tenant_id, the first column of every key."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import DateTime, MetaData, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

CURRENT_TRACE = text("nullif(current_setting('app.traceparent', true), '')")
"""The default of a column that keeps the trace of the transaction that adds the row; null if it is not exported."""


class Base(DeclarativeBase):
    """Base of all tables: naming convention and column types."""

    metadata = MetaData(naming_convention=_NAMING)
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text, dict[str, Any]: JSONB}


class TenantOwned(Base):
    """A row of one tenant; the key starts with tenant_id, so PostgreSQL can be distributed by tenant."""

    __abstract__ = True

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-1)


class TenantRow(TenantOwned):
    """A tenant-owned row with an id and a creation time."""

    __abstract__ = True

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
