"""Say which events an entry of the audit trail announces: what the trail records about subjects, callers are told of.

The trail names a subject by a keyed hash, an event by its id. Events of photos, videos, sightings and clusters are not
here: their services announce each one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.events import Event, EventType
from app.services.audit.actions import AuditAction

_OF_SUBJECTS: Mapping[AuditAction, EventType] = {
    AuditAction.SUBJECT_CREATED: EventType.SUBJECT_CREATED,
    AuditAction.SUBJECT_IMPORTED: EventType.SUBJECT_CREATED,
    AuditAction.SUBJECT_CHANGED: EventType.SUBJECT_UPDATED,
    AuditAction.CONSENT_RECORDED: EventType.SUBJECT_UPDATED,
    AuditAction.CONSENT_WITHDRAWN: EventType.CONSENT_WITHDRAWN,
    AuditAction.SUBJECT_ERASED: EventType.SUBJECT_DELETED,
    AuditAction.SUBJECT_UNNAMED: EventType.SUBJECT_DELETED,
    AuditAction.FACES_REGISTERED: EventType.FACE_REGISTERED,
    AuditAction.FACES_ASSIGNED: EventType.FACE_REGISTERED,
    AuditAction.FACE_ERASED: EventType.FACE_DELETED,
    AuditAction.FACES_UNASSIGNED: EventType.FACE_DELETED,
}
_OF_COLLECTIONS: Mapping[AuditAction, EventType] = {
    AuditAction.COLLECTION_CREATED: EventType.COLLECTION_CREATED,
    AuditAction.ALBUM_CREATED: EventType.COLLECTION_CREATED,
    AuditAction.COLLECTION_CHANGED: EventType.COLLECTION_UPDATED,
    AuditAction.COLLECTION_CALIBRATED: EventType.COLLECTION_UPDATED,
    AuditAction.COLLECTION_TAGGED: EventType.COLLECTION_UPDATED,
    AuditAction.RECOGNIZERS_CHANGED: EventType.COLLECTION_UPDATED,
    AuditAction.ALBUM_CHANGED: EventType.COLLECTION_UPDATED,
    AuditAction.POOL_SET: EventType.COLLECTION_UPDATED,
    AuditAction.POOL_DELETED: EventType.COLLECTION_UPDATED,
    AuditAction.COLLECTION_ERASED: EventType.COLLECTION_DELETED,
    AuditAction.FACES_REGISTERED: EventType.FACE_REGISTERED,
    AuditAction.FACE_ERASED: EventType.FACE_DELETED,
}
_OF_KEYS: Mapping[AuditAction, EventType] = {
    AuditAction.KEY_ISSUED: EventType.KEY_CREATED,
    AuditAction.KEY_REVOKED: EventType.KEY_REVOKED,
}
_COLLECTION, _KEY = "collection:", "key:"


def announce_subject(
    action: AuditAction, collection: str, subject: str, ids: Mapping[str, Any], *, has_expired: bool = False
) -> list[Event]:
    """Return the events of a change of one subject; an expired one was erased by its expiry or the retention policy.

    Only `subject.deleted` names an erased subject.
    """
    kind = _OF_SUBJECTS.get(action)
    events = [Event(kind, collection, subject, ids)] if kind is not None else []
    if has_expired and kind is EventType.SUBJECT_DELETED:
        events.append(Event(EventType.RETENTION_EXPIRED, collection))
    return events


def announce_succession(action: AuditAction, former: tuple[str, str], current: tuple[str, str]) -> list[Event]:
    """Return the events of a subject that was renamed, moved, or merged into another; both as collection and id.

    Only `subject.deleted` names the former id.
    """
    if action is AuditAction.SUBJECT_MERGED:
        into = {"merged_into": current[1]}
        return [Event(EventType.SUBJECT_DELETED, *former, into), Event(EventType.SUBJECT_UPDATED, *current)]
    became = {"became_collection": current[0], "became_subject": current[1]}
    return [Event(EventType.SUBJECT_DELETED, *former, became), Event(EventType.SUBJECT_CREATED, *current)]


def announce_target(action: AuditAction, target: str | None, ids: Mapping[str, Any]) -> Sequence[Event]:
    """Return the events of a change of a collection or a key, by the entry's target."""
    if target is not None and target.startswith(_COLLECTION) and (kind := _OF_COLLECTIONS.get(action)):
        return [Event(kind, target.removeprefix(_COLLECTION), ids=ids)]
    if target is not None and target.startswith(_KEY) and (kind := _OF_KEYS.get(action)):
        return [Event(kind, ids={"key_id": target.removeprefix(_KEY)})]
    return ()
