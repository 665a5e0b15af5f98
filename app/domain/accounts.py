"""Accounts: links by which people set passwords, sessions, and second factors."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class LinkKind(StrEnum):
    """What a link of an account is for."""

    INVITATION = "invitation"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation that was neither accepted nor revoked, and has not expired."""

    id: UUID
    email: str
    role: str
    created_at: datetime
    expires_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class AccountLink:
    """A link that may still be used: an invitation has a role, the reset of a password a user."""

    id: UUID
    kind: LinkKind
    email: str
    role: str | None
    user_id: UUID | None
    created_by: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session that is neither ended nor expired."""

    id: UUID
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    is_console: bool


@dataclass(frozen=True, slots=True)
class StoredFactor:
    """A user's second factor; the secret is encrypted under the service key with id `key_id`."""

    key_id: str
    secret_encrypted: bytes = field(repr=False)
    confirmed_at: datetime | None
    """None while it is being set up."""
