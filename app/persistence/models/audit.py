"""The audit trail: one append-only chain of entries per tenant."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.persistence.models.base import TenantOwned


class AuditHeadModel(TenantOwned):
    """The newest entry's sequence number and seal; adding an entry locks this row until the transaction ends.

    `event_seq` is the number of the newest event: the same lock orders events.
    """

    __tablename__ = "audit_heads"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),)

    seq: Mapped[int] = mapped_column(BigInteger)
    seal: Mapped[bytes]
    event_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    events_pruned_through: Mapped[int] = mapped_column(BigInteger, server_default="0")


class AuditEntryModel(TenantOwned):
    """One recorded change; a trigger rejects updates, and deletes while the tenant exists."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        Index("ix_audit_entries_tenant_id_target_seq", "tenant_id", "target", "seq"),
    )

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    request_id: Mapped[str | None]
    key_id: Mapped[str]
    previous: Mapped[bytes]
    seal: Mapped[bytes]
