"""Define the responses of the audit trail."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.security.audit_chain import Detail, SealedEntry


class AuditEntryOut(BaseModel):
    """One entry of the audit trail: who changed what, and when."""

    seq: int = Field(description="Position in the tenant's audit trail, from 1.")
    at: datetime
    actor: str = Field(
        description="Who made the change: `user:<id>`, `key:<id>`, `operator`, `retention` or `restore`.",
        examples=["user:5b0e8f0a-6f5d-4a52-9d5e-0f6f3c0a9a11"],
    )
    action: str = Field(examples=["faces.registered"])
    target: str | None = Field(
        description="What was changed. Subjects appear as a keyed hash; to find a subject's entries, filter by "
        "`collection` and `subject`."
    )
    details: dict[str, Detail]
    request_id: str | None = Field(description="The request that made the change, as in the log.")
    seal: str = Field(description="Keyed hash of this entry and the previous entry's seal, in hexadecimal.")

    @classmethod
    def of(cls, sealed: SealedEntry) -> "AuditEntryOut":
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
    """One page of audit entries, newest first."""

    items: list[AuditEntryOut]
    next_cursor: str | None
