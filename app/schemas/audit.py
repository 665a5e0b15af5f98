"""Define the responses of the audit trail."""

from pydantic import BaseModel, Field

from app.schemas import answer_fields as answer
from app.security.audit_chain import Detail, SealedEntry


class AuditEntryOut(BaseModel):
    """One entry of the audit trail: who changed what, and when."""

    seq: int = Field(description="Position in the tenant's audit trail, from 1.", examples=[17])
    at: answer.CreatedAt
    actor: str = Field(
        description="Who made the change: `user:<id>`, `key:<id>`, `operator`, `retention` or `restore`.",
        examples=["user:5b0e8f0a-6f5d-4a52-9d5e-0f6f3c0a9a11"],
    )
    action: str = Field(examples=["faces.registered"])
    target: str | None = Field(
        description="What was changed. Subjects appear as a keyed hash; to find a subject's entries, filter by "
        "`collection` and `subject`.",
        examples=["subject:6f0c1d9be0a84f5b9c2d7e6a1b3f4c58"],
    )
    details: dict[str, Detail] = Field(examples=[{"collection": "default", "faces": 2}])
    request_id: str | None = Field(
        description="The request that made the change, as in the log.", examples=["6f1c0e8a2b7d4c55"]
    )
    seal: str = Field(
        description="Keyed hash of this entry and the previous entry's seal, in hexadecimal.",
        examples=["c1f7a0b25d9e4c3886a1f0d27be59c4431d8e6f7a90b2c5d4e3f1a0b9c8d7e6f"],
    )

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
    next_cursor: answer.NextCursor
