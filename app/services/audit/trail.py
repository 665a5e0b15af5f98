"""Write the audit trail in the transaction of each change, and read it page by page."""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.events import Event, EventType
from app.persistence.connections.database import Transaction
from app.persistence.repositories.audit import AuditFilter, AuditRepository, ChainHead
from app.persistence.repositories.events import EventRepository
from app.security.audit_chain import REFERENCE_PURPOSE, SEAL_PURPOSE, Detail, SealedEntry, refer_to_subject, seal
from app.security.cursors import CursorSigner, read_number
from app.security.keyring import Keyring
from app.services.audit.actions import AuditAction
from app.services.audit.announcements import announce_subject, announce_succession, announce_target
from app.services.paging import Page, PageRequest, cut_page
from app.telemetry import request_id

OPERATOR = "operator"
"""The actor of changes by the operator of the service."""
WORKER = "worker"
"""The actor of changes by a worker that processes photos."""
RETENTION = "retention"
"""The actor of erasures because a subject expired."""
RESTORE = "restore"
"""The actor of erasures that are repeated because an older backup brought the data back."""


_FORMER_TEXTS = {
    AuditAction.FACES_ASSIGNED: "faces.given",
    AuditAction.FACES_UNASSIGNED: "faces.taken",
    AuditAction.SUBJECT_UNNAMED: "subject.dissolved",
}
"""The text of an action in entries that an earlier version sealed; a filter by the action finds these too."""


class AuditTrail:
    """Write one actor's entries in one tenant's trail.

    Record an entry after the change itself: it locks the chain, and the tenant's other changes wait for that lock.
    """

    def __init__(self, entries: AuditRepository, keyring: Keyring, actor: str) -> None:
        self._entries = entries
        self._keyring = keyring
        self.actor = actor

    async def record(
        self,
        action: AuditAction,
        target: str | None = None,
        *,
        events: Sequence[Event] = (),
        ids: Mapping[str, Any] | None = None,
        **details: Detail,
    ) -> SealedEntry:
        """Append an entry and the events of the change; both are committed or rolled back together with it.

        Events of collections and keys are announced without being given; they get `ids`.
        """
        announced = announce_target(action, target, ids or {})
        return await self.record_at(None, action, target, events=[*announced, *events], **details)

    async def record_subject(
        self,
        action: AuditAction,
        collection: str,
        subject: str,
        *,
        ids: Mapping[str, Any] | None = None,
        head: ChainHead | None = None,
        is_new: bool = False,
        **details: Detail,
    ) -> SealedEntry:
        """Append an entry about a subject, and its event, which also gets `ids`.

        `head` is as in `record_at`. `is_new` tells first that the subject was created.
        """
        events = announce_subject(action, collection, subject, ids or {}, has_expired=self.actor == RETENTION)
        if is_new:
            events.insert(0, Event(EventType.SUBJECT_CREATED, collection, subject))
        target = self.subject_target(collection, subject)
        return await self.record_at(head, action, target, events=events, collection=collection, **details)

    async def lock(self) -> None:
        """Lock the chain before a change of rows that other changes lock after it; else both could wait forever."""
        await self._entries.lock()

    @property
    def events(self) -> EventRepository:
        """The tenant's events, for changes that the trail does not record."""
        return self._entries.events()

    async def record_succession(
        self,
        action: AuditAction,
        former: tuple[str, str],
        current: tuple[str, str],
        **details: Any,
    ) -> None:
        """Append an entry about a former collection and subject, and one about the current; each names the other.

        Both names are keyed hashes, so that the person's entries can be followed from either id.
        """
        was, became = self.subject_target(*former), self.subject_target(*current)
        await self.record(action, was, collection=former[0], became=became, **details)
        events = announce_succession(action, former, current)
        await self.record(action, became, events=events, collection=current[0], was=was, **details)

    async def record_at(
        self,
        head: ChainHead | None,
        action: AuditAction,
        target: str | None = None,
        *,
        events: Sequence[Event] = (),
        **details: Detail,
    ) -> SealedEntry:
        """Append an entry at the head of the chain, if the change itself has locked it; None: lock it now."""
        key_id, key = self._keyring.current(SEAL_PURPOSE)
        return await self._entries.add(
            actor=self.actor,
            action=action.value,
            target=target,
            details=details,
            request_id=request_id.get(),
            key_id=key_id,
            sealer=lambda entry, previous: seal(key, entry, previous),
            head=head,
            events=events,
        )

    def subject_target(self, collection: str, subject: str) -> str:
        """Return a subject's target: a keyed hash, so an erasure need not change the trail."""
        _, key = self._keyring.current(REFERENCE_PURPOSE)
        return refer_to_subject(key, self._entries.tenant_id, collection, subject)

    def all_subject_targets(self, collection: str, subject: str) -> list[str]:
        """Return all targets that the trail may have for a subject, one per secret."""
        return subject_targets(self._keyring, self._entries.tenant_id, collection, subject)


class AuditTrails:
    """Open the trail of any tenant, in the transaction of the change to record."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def open(self, transaction: Transaction, tenant_id: UUID, actor: str) -> AuditTrail:
        """Open a tenant's trail; `actor` makes the recorded changes."""
        return AuditTrail(AuditRepository(transaction, tenant_id), self._keyring, actor)


def subject_targets(keyring: Keyring, tenant_id: UUID, collection: str, subject: str) -> list[str]:
    """Return all targets that a trail may have for a subject, for each secret that is still configured."""
    # Entries from before ids were normalized may have a decomposed id.
    forms = dict.fromkeys((subject, unicodedata.normalize("NFD", subject)))
    keys = keyring.all(REFERENCE_PURPOSE)
    return [refer_to_subject(key, tenant_id, collection, form) for form in forms for key in keys]


class AuditService:
    """List the entries of the caller's tenant."""

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
        """List one page of entries, newest first; `subject` filters only together with `collection`."""
        targets = None
        if collection is not None and subject is not None:
            targets = subject_targets(self._keyring, self._entries.tenant_id, collection, subject)
        elif collection is not None:
            targets = [f"collection:{collection}"]
        filters = AuditFilter(_stored_texts(actions) if actions else None, actor, targets, since, before)
        scope = f"{self._entries.tenant_id}/audit"
        before_seq = self._cursors.open(scope, request.cursor, read_number) if request.cursor else None
        found = await self._entries.list_page(filters, before_seq, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.entry.seq)))


def _stored_texts(actions: Sequence[AuditAction]) -> list[str]:
    former = [_FORMER_TEXTS[action] for action in actions if action in _FORMER_TEXTS]
    return [action.value for action in actions] + former
