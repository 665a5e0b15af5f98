"""Who may do what: roles, permissions, and the one map between them."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """A user's role in their tenant."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


class Permission(StrEnum):
    """One thing a principal may be allowed to do."""

    READ = "read"
    RECOGNIZE = "recognize"
    READ_EMBEDDINGS = "embeddings:read"
    REGISTER = "register"
    DELETE = "delete"


ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ, Permission.RECOGNIZE}),
    Role.OPERATOR: frozenset({Permission.READ, Permission.RECOGNIZE, Permission.READ_EMBEDDINGS, Permission.REGISTER}),
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller of one request."""

    user_id: UUID
    tenant_id: UUID
    session_id: UUID
    email: str
    role: Role

    def may(self, permission: Permission) -> bool:
        """Whether the caller's role grants the permission."""
        return permission in ROLE_PERMISSIONS[self.role]
