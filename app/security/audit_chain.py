"""The arithmetic of the audit trail: each entry is sealed together with the seal of the one before it.

Seals are keyed (HMAC-SHA256): whoever can write to the database but lacks the service's secret can neither change an
entry nor make one. Pure functions.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

SEAL_PURPOSE, REFERENCE_PURPOSE = "audit", "audit-subjects"

FIRST_SEAL = b"\0" * 32
"""What stands before the first entry."""

Detail = str | int | bool | None | list[str]
_REFERENCE_CHARS = 32


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what, and when: the `seq`-th entry of its tenant.

    `actor` and `target` are names without personal data: `user:`, `key:` or `operator`; `subject:` is followed by a
    keyed hash of the collection and the subject's id, so that erasing a subject leaves nothing to erase here.
    """

    tenant_id: UUID
    seq: int
    at: datetime
    actor: str
    action: str
    target: str | None
    details: Mapping[str, Detail]
    request_id: str | None


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """An entry with its seal, the seal it was chained to, and the name of the key."""

    entry: AuditEntry
    key_id: str
    previous: bytes
    seal: bytes


def seal(key: bytes, entry: AuditEntry, previous: bytes) -> bytes:
    """The entry's seal (32 bytes), which covers every field and the seal of the entry before it."""
    content = [
        str(entry.tenant_id),
        entry.seq,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.actor,
        entry.action,
        entry.target,
        dict(entry.details),
        entry.request_id,
        previous.hex(),
    ]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(key, canonical.encode(), hashlib.sha256).digest()


def refer_to_subject(key: bytes, tenant_id: UUID, collection: str, subject: str) -> str:
    """The name under which the trail knows a subject; without the service's secret it leads to nobody."""
    message = json.dumps([str(tenant_id), collection, subject]).encode()
    return f"subject:{hmac.new(key, message, hashlib.sha256).hexdigest()[:_REFERENCE_CHARS]}"
