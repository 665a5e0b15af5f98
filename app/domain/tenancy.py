"""Tenants: their policy, object store, users, keys and usage."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from app.permissions import Plan, Quota


@dataclass(frozen=True, slots=True)
class Policy:
    """What a tenant demands of its own faces.

    `retention_days`: so long after they were last registered or changed, subjects are erased; None: never.
    """

    consent_required: bool = False
    retention_days: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """Where a tenant keeps its photos: an S3-compatible server, and whose credentials are used there."""

    endpoint: str
    region: str
    access_key_id: str


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A tenant as the operator sees it."""

    id: UUID
    name: str
    plan: str
    created_at: datetime
    templates: int


@dataclass(frozen=True, slots=True)
class TenantOverview:
    """A tenant with its plan and what it uses of it."""

    name: str
    plan: Plan
    used: dict[Quota, int]


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user as their tenant's admins see them."""

    id: UUID
    email: str
    role: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as its tenant's admins see it: never its secret. Access-key pairs have no name, limits or expiry."""

    id: UUID
    public_id: str
    scopes: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None
    name: str | None = None
    collections: tuple[str, ...] | None = None
    expires_at: datetime | None = None


class UsageKey(NamedTuple):
    """A day (UTC), an operation, and who called: `key:` or `user:` and an id."""

    day: date
    operation: str
    caller: str


@dataclass(frozen=True, slots=True)
class UsageCount:
    """How many calls were answered, with how many photos."""

    calls: int
    images: int
