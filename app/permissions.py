"""Who may do what, how often and how much: roles, scopes, permissions, plans, and the maps between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """A user's role in their tenant."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


class Scope(StrEnum):
    """What an API key may be used for."""

    REGISTER = "register"
    RECOGNIZE = "recognize"
    READ_EMBEDDINGS = "embeddings:read"
    DELETE = "delete"
    ADMIN = "admin"


class Permission(StrEnum):
    """One thing a principal may be allowed to do; also the name of its rate in a plan."""

    READ = "read"
    RECOGNIZE = "recognize"
    READ_EMBEDDINGS = "embeddings"
    REGISTER = "register"
    DELETE = "delete"
    ADMIN = "admin"


ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ, Permission.RECOGNIZE}),
    Role.OPERATOR: frozenset({Permission.READ, Permission.RECOGNIZE, Permission.READ_EMBEDDINGS, Permission.REGISTER}),
    Role.ADMIN: frozenset(Permission),
}

SCOPE_PERMISSIONS: dict[Scope, frozenset[Permission]] = {
    Scope.REGISTER: frozenset({Permission.REGISTER, Permission.READ}),
    Scope.RECOGNIZE: frozenset({Permission.RECOGNIZE}),
    Scope.READ_EMBEDDINGS: frozenset({Permission.READ_EMBEDDINGS}),
    Scope.DELETE: frozenset({Permission.DELETE, Permission.READ}),
    # Managing users and keys; a key that shall also see embeddings or delete people says so.
    Scope.ADMIN: frozenset({Permission.ADMIN, Permission.READ}),
}

DEFAULT_RATE = "60/minute"
"""For what a plan does not name."""


class Quota(StrEnum):
    """What a plan limits in number."""

    TEMPLATES = "templates"
    COLLECTIONS = "collections"
    USERS = "users"
    RECOGNITIONS = "recognitions_a_month"


@dataclass(frozen=True, slots=True)
class Plan:
    """How often (`rates`, as `60/minute`) and how much (`quotas`; None: no limit)."""

    name: str
    rates: Mapping[str, str] = field(default_factory=dict)
    quotas: Mapping[str, int | None] = field(default_factory=dict)

    def rate(self, permission: Permission) -> str:
        """The rate for what needs this permission."""
        return self.rates.get(permission, DEFAULT_RATE)

    def quota(self, quota: Quota) -> int | None:
        """The most a tenant may have; None: no limit."""
        return self.quotas.get(quota)


def permissions_of(scopes: "list[str] | tuple[str, ...]") -> frozenset[Permission]:
    """What a key with these scopes may do; a scope that no longer exists grants nothing."""
    known = [Scope(scope) for scope in scopes if scope in set(Scope)]
    return frozenset[Permission]().union(*(SCOPE_PERMISSIONS[scope] for scope in known))


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller of one request: a user in a session, or a program with a key."""

    tenant_id: UUID
    permissions: frozenset[Permission]
    plan: Plan
    user_id: UUID | None = None
    session_id: UUID | None = None
    email: str | None = None
    role: Role | None = None
    key_id: UUID | None = None
    collections: frozenset[str] | None = None
    """The collections a key is limited to; None: all."""

    @property
    def name(self) -> str:
        """A stable name within the tenant, without personal data."""
        return f"key:{self.key_id}" if self.key_id else f"user:{self.user_id}"

    def may(self, permission: Permission) -> bool:
        """Whether the caller may do this."""
        return permission in self.permissions
