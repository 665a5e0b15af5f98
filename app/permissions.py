"""Permissions and plans: roles and scopes, the permissions that they grant, rates and quotas."""

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
    """A permitted use of an API key."""

    REGISTER = "register"
    RECOGNIZE = "recognize"
    READ_EMBEDDINGS = "embeddings:read"
    DELETE = "delete"
    ADMIN = "admin"


class Permission(StrEnum):
    """A permission of a principal; also the name of its rate in a plan."""

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
    # Users and keys only: reading embeddings and deleting people need their own scopes.
    Scope.ADMIN: frozenset({Permission.ADMIN, Permission.READ}),
}

DEFAULT_RATE = "60/minute"
"""The rate of permissions that a plan does not name."""
UNLIMITED = "unlimited"
"""A rate without a limit, and the plan of an operator's own tenants, which limits nothing."""


class Quota(StrEnum):
    """A quantity that a plan limits."""

    TEMPLATES = "templates"
    COLLECTIONS = "collections"
    USERS = "users"
    RECOGNITIONS = "recognitions_a_month"
    VIDEO_SECONDS = "video_seconds_a_month"


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan's rates by permission (such as `60/minute`) and its quotas (None: no limit)."""

    name: str
    rates: Mapping[str, str] = field(default_factory=dict)
    quotas: Mapping[str, int | None] = field(default_factory=dict)

    def rate(self, permission: Permission) -> str:
        """Return the rate of requests that need this permission."""
        return self.rates.get(permission, DEFAULT_RATE)

    def all_rates(self) -> dict[str, str]:
        """Return the rate of every permission, also of those that the plan does not name."""
        return {permission.value: self.rate(permission) for permission in Permission}

    def quota(self, quota: Quota) -> int | None:
        """Return the tenant's limit; None means no limit."""
        return self.quotas.get(quota)


def permissions_of(scopes: "list[str] | tuple[str, ...]") -> frozenset[Permission]:
    """Return the permissions that these scopes grant; unknown scopes grant nothing."""
    valid = [Scope(scope) for scope in scopes if scope in set(Scope)]
    return frozenset[Permission]().union(*(SCOPE_PERMISSIONS[scope] for scope in valid))


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller of a request: a user with a session, or a program with a key."""

    tenant_id: UUID
    permissions: frozenset[Permission]
    plan: Plan
    user_id: UUID | None = None
    session_id: UUID | None = None
    email: str | None = None
    role: Role | None = None
    key_id: UUID | None = None
    link_id: UUID | None = None
    """The link of a guest of an album."""
    collections: frozenset[str] | None = None
    """The collections that the key is limited to; None: all."""
    must_enroll: bool = False
    """Whether the tenant demands a second factor that this user has not set up; they have no permissions then."""

    @property
    def name(self) -> str:
        """The principal's stable name within the tenant, without personal data."""
        if self.link_id is not None:
            return f"link:{self.link_id}"
        return f"key:{self.key_id}" if self.key_id else f"user:{self.user_id}"

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions
