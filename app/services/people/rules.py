"""Check the rules for subjects that several services share: reserved ids and expiry dates."""

from datetime import UTC, datetime
from uuid import UUID

from app.domain.people import ANONYMOUS_PREFIX, SubjectRecord
from app.errors import InvalidParameter, PermissionDenied, SubjectAnonymous


def anonymous_name(face_id: UUID) -> str:
    """Return the id of the anonymous subject that owns a face."""
    return f"{ANONYMOUS_PREFIX}{face_id}"


def refuse_reserved_id(subject: str) -> None:
    """Raise `InvalidParameter` for an id that is reserved for anonymous subjects."""
    if subject.startswith(ANONYMOUS_PREFIX):
        raise InvalidParameter(
            f"subject: {subject!r} is reserved, because ids that start with {ANONYMOUS_PREFIX!r} belong to anonymous "
            f"subjects; choose another id.",
            field="subject",
        )


def require_delete(may_delete: bool, change: str) -> None:
    """Raise `PermissionDenied` if the caller may not delete; `change` says what that is needed for."""
    if not may_delete:
        raise PermissionDenied(f"{change} requires the delete permission as well.")


def refuse_anonymous(row: SubjectRecord, field: str = "subject") -> None:
    """Raise `SubjectAnonymous` for an anonymous subject, which cannot be renamed, merged or moved."""
    if row.is_anonymous:
        raise SubjectAnonymous(
            f"{field}: {row.subject!r} is anonymous, one face without a name; assign the face to a subject instead "
            f"(AssociateFaces of the Rekognition protocol).",
            field=field,
        )


def find_earlier_expiry(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two expiries; None means no expiry."""
    return min((expiry for expiry in (one, other) if expiry is not None), default=None)


def refuse_past_expiry(expires_at: datetime | None) -> None:
    """Raise `InvalidParameter` for an expiry that is not in the future."""
    now = datetime.now(UTC)
    if expires_at is not None and expires_at <= now:
        raise InvalidParameter(
            f"expires_at: {expires_at.isoformat()} is in the past; it is now {now.isoformat()}.", field="expires_at"
        )


def refuse_shorter_expiry(current: datetime | None, new: datetime | None) -> None:
    """Raise `PermissionDenied` for an earlier expiry.

    Shortening an expiry requires the delete permission, because it erases the subject earlier. Call this only for
    callers without that permission; None means no expiry.
    """
    if new is not None and (current is None or new < current):
        shown = "never" if current is None else current.isoformat()
        raise PermissionDenied(
            f"expires_at: shortening the expiry from {shown} to {new.isoformat()} requires the delete permission."
        )
