"""Enable row-level security on every tenant-owned table, and create the two roles that are subject to it."""

from collections.abc import Sequence

from alembic import op

from migrations.isolation import APP_ROLE, OPERATOR_ROLE, allow_lookup, create_roles, isolate

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

TABLES = ("users", "sessions", "collections", "subjects", "templates")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    create_roles()
    isolate("tenants", column="id", privileges="SELECT, INSERT, UPDATE")
    for table in TABLES:
        isolate(table)
    allow_lookup("users", "email")
    op.execute(f"GRANT SELECT ON alembic_version TO {APP_ROLE}, {OPERATOR_ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP POLICY lookup ON users")
    for table in ("tenants", *TABLES):
        for policy in ("tenant", "operator"):
            op.execute(f"DROP POLICY {policy} ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {table} FROM {APP_ROLE}, {OPERATOR_ROLE}")
    op.execute(f"REVOKE ALL ON alembic_version FROM {APP_ROLE}, {OPERATOR_ROLE}")
    # Keep the roles: other databases of this server may use them.
