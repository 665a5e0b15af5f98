"""The audit trail: written in the transaction of what it is about, read page by page."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.persistence.connections.database import Transaction
from app.persistence.repositories.audit import AuditFilter, AuditRepository
from app.security.audit_chain import REFERENCE_PURPOSE, SEAL_PURPOSE, Detail, SealedEntry, refer_to_subject, seal
from app.security.cursors import CursorSigner
from app.security.keyring import Keyring
from app.services.paging import Page, PageRequest, cut_page
from app.telemetry import request_id

OPERATOR = "operator"
"""The actor of what whoever runs the service does."""
RETENTION = "retention"
"""The actor of what is erased because its time was over."""
RESTORE = "restore"
"""The actor of what is erased again because an older backup brought it back."""


class AuditAction(StrEnum):
    """Everything that is written down."""

    TENANT_CREATED = "tenant.created"
    PLAN_CHANGED = "plan.changed"
    USER_ADDED = "user.added"
    USER_CHANGED = "user.changed"
    USER_REMOVED = "user.removed"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - the name of an action
    KEY_ISSUED = "key.issued"
    KEY_REVOKED = "key.revoked"
    COLLECTION_CREATED = "collection.created"
    COLLECTION_ERASED = "collection.erased"
    SUBJECT_CREATED = "subject.created"
    SUBJECT_CHANGED = "subject.changed"
    SUBJECT_ERASED = "subject.erased"
    SUBJECT_EXPORTED = "subject.exported"
    SUBJECT_IMPORTED = "subject.imported"
    FACES_REGISTERED = "faces.registered"
    FACE_ERASED = "face.erased"
    CONSENT_RECORDED = "consent.recorded"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    FACES_ASSIGNED = "faces.given"
    FACES_UNASSIGNED = "faces.taken"
    SUBJECT_UNNAMED = "subject.dissolved"
    COLLECTION_CHANGED = "collection.changed"
    COLLECTION_CALIBRATED = "collection.calibrated"
    RECOGNIZERS_CHANGED = "recognizers.changed"
    RECOGNIZER_ERASED = "recognizer.erased"
    COLLECTION_TAGGED = "collection.tagged"
    OBJECT_STORE_CHANGED = "object_store.changed"
    POLICY_CHANGED = "policy.changed"
    TEMPLATES_ROTATED = "templates.rotated"


class AuditTrail:
    """Writes entries of one actor in one tenant.

    To be called after the change itself: an entry takes the chain's lock, which the tenant's other changes wait for.
    """

    def __init__(self, entries: AuditRepository, keyring: Keyring, actor: str) -> None:
        self._entries = entries
        self._keyring = keyring
        self.actor = actor

    async def record(self, action: AuditAction, target: str | None = None, **details: Detail) -> SealedEntry:
        """Write down what was done; with the change, or not at all."""
        key_id, key = self._keyring.current(SEAL_PURPOSE)
        return await self._entries.add(
            actor=self.actor,
            action=action.value,
            target=target,
            details=details,
            request_id=request_id.get(),
            key_id=key_id,
            sealer=lambda entry, previous: seal(key, entry, previous),
        )

    def name_subject(self, collection: str, subject: str) -> str:
        """The target for a subject: a keyed hash, which erasing need not touch."""
        _, key = self._keyring.current(REFERENCE_PURPOSE)
        return refer_to_subject(key, self._entries.tenant_id, collection, subject)

    def all_names_of_subject(self, collection: str, subject: str) -> list[str]:
        """Whatever the trail may call a subject."""
        return names_of_subject(self._keyring, self._entries.tenant_id, collection, subject)


class AuditTrails:
    """Opens the trail of any tenant, in the transaction of the change that it records."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def open(self, transaction: Transaction, tenant_id: UUID, actor: str) -> AuditTrail:
        """The trail of a tenant; `actor` did what is recorded."""
        return AuditTrail(AuditRepository(transaction, tenant_id), self._keyring, actor)


def names_of_subject(keyring: Keyring, tenant_id: UUID, collection: str, subject: str) -> list[str]:
    """Every target that a trail may have for a subject: one for each secret that is still believed."""
    return [refer_to_subject(key, tenant_id, collection, subject) for key in keyring.all(REFERENCE_PURPOSE)]


class AuditService:
    """Reads the caller's tenant's trail."""

    def __init__(self, entries: AuditRepository, keyring: Keyring, cursors: CursorSigner) -> None:
        self._entries = entries
        self._keyring = keyring
        self._cursors = cursors

    async def list(
        self,
        request: PageRequest,
        *,
        actions: Sequence[AuditAction] | None = None,
        actor: str | None = None,
        collection: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
    ) -> Page[SealedEntry]:
        """One page of entries, the newest first; a subject is asked for with its collection."""
        targets = None
        if collection is not None and subject is not None:
            targets = names_of_subject(self._keyring, self._entries.tenant_id, collection, subject)
        elif collection is not None:
            targets = [f"collection:{collection}"]
        wanted = AuditFilter([action.value for action in actions] if actions else None, actor, targets, since, before)
        scope = f"{self._entries.tenant_id}/audit"
        behind = int(self._cursors.open(scope, request.cursor)) if request.cursor else None
        found = await self._entries.list_page(wanted, behind, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.entry.seq)))
