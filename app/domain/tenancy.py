"""Tenants: their policy, object store, users, keys and usage."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from app.permissions import Plan, Quota


@dataclass(frozen=True, slots=True)
class Policy:
    """A tenant's consent and retention policy, and whether its users need a second factor.

    Subjects are erased `retention_days` after their last registration or change; None means never.
    """

    consent_required: bool = False
    retention_days: int | None = None
    second_factor_required: bool = False


@dataclass(frozen=True, slots=True)
class ProtocolOptions:
    """A tenant's options for the Rekognition protocol."""

    placeholder_attributes: bool = False
    """Whether requested attributes that no model estimates are present, with the confidence 0."""


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A tenant's S3-compatible photo store, without its secret."""

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
    """A tenant with its plan and the used part of each quota."""

    name: str
    plan: Plan
    used: dict[Quota, int]


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user as the tenant's admins see them, without the password hash."""

    id: UUID
    email: str
    role: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as the tenant's admins see it, without its secret; access keys have no name, collections or expiry."""

    id: UUID
    public_id: str
    scopes: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None
    name: str | None = None
    collections: tuple[str, ...] | None = None
    expires_at: datetime | None = None


class UsageKey(NamedTuple):
    """A day (UTC), an operation, and its caller, `key:<id>` or `user:<id>`."""

    day: date
    operation: str
    caller: str


@dataclass(frozen=True, slots=True)
class UsageCount:
    """The number of completed calls, of the photos in them, and of the seconds of videos."""

    calls: int
    images: int
    video_seconds: int = 0
