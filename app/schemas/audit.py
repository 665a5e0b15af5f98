"""The audit trail, as its tenant reads it."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.security.audit_chain import Detail, SealedEntry


class AuditEntryOut(BaseModel):
    """One change."""

    seq: int
    at: datetime
    actor: str = Field(description="`user:` or `key:` and an id, `operator`, `retention` or `restore`.")
    action: str = Field(examples=["faces.registered"])
    target: str | None = Field(description="A subject is named by a keyed hash: filter by collection and subject.")
    details: dict[str, Detail]
    request_id: str | None
    seal: str = Field(description="Covers this entry and the seal of the one before it; hexadecimal.")

    @classmethod
    def of(cls, sealed: SealedEntry) -> "AuditEntryOut":
        """From the trail."""
        entry = sealed.entry
        return cls(
            seq=entry.seq,
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            target=entry.target,
            details=dict(entry.details),
            request_id=entry.request_id,
            seal=sealed.seal.hex(),
        )


class AuditPage(BaseModel):
    """One page of the trail, the newest first."""

    items: list[AuditEntryOut]
    next_cursor: str | None
