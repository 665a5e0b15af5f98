"""The hash chain of the audit trail: each entry's seal covers the entry and the previous seal.

Seals are keyed (HMAC-SHA256), so write access to the database is not enough to change or forge an entry; that also
needs the service's secret. Pure functions.
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
"""The previous seal of the first entry."""

Detail = str | int | bool | None | list[str]
_REFERENCE_CHARS = 32


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One recorded action: actor, action, target and time; `seq` counts the tenant's entries from 1.

    `actor` and `target` contain no personal data. Actors are `user:<id>`, `key:<id>` or `operator`. A subject appears
    as `subject:` and a keyed hash of its collection and id, so erasing a subject requires no change here.
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
    """An entry with its seal, the previous entry's seal, and the id of the key that sealed it."""

    entry: AuditEntry
    key_id: str
    previous: bytes
    seal: bytes


def seal(key: bytes, entry: AuditEntry, previous: bytes) -> bytes:
    """Compute the entry's seal (32 bytes) over all its fields and the previous entry's seal."""
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
    """Compute a subject's pseudonym in the audit trail; only the service's secret can link it to the subject."""
    message = json.dumps([str(tenant_id), collection, subject]).encode()
    return f"subject:{hmac.new(key, message, hashlib.sha256).hexdigest()[:_REFERENCE_CHARS]}"
