"""Row-level security for tenant-owned tables; used by the migrations that create such tables."""

from alembic import op

# Group roles: neither can log in, owns objects, or bypasses row-level security. Logins become members of one of them.
APP_ROLE = "vultus_app"
OPERATOR_ROLE = "vultus_operator"

# The subselect makes PostgreSQL evaluate it once per query. Without a tenant it is NULL, which equals no tenant_id.
CURRENT_TENANT = "(SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid)"


def create_roles() -> None:
    """Create both roles unless they exist: roles belong to the server, not to one database."""
    for role in (APP_ROLE, OPERATOR_ROLE):
        op.execute(
            f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB; "
            f"EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
        # Lets one login do everything in development. If the owner of another database created the roles, the server's
        # administrator must have granted them to this owner.
        op.execute(
            f"DO $$ BEGIN GRANT {role} TO CURRENT_USER; EXCEPTION WHEN insufficient_privilege THEN "
            f"IF NOT pg_has_role(CURRENT_USER, '{role}', 'MEMBER') THEN RAISE; END IF; END $$"
        )
        op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")


def isolate(table: str, column: str = "tenant_id", privileges: str = "SELECT, INSERT, UPDATE, DELETE") -> None:
    """Enable row-level security, forced on the owner too: the app sees its tenant's rows, the operator all rows."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table} TO {APP_ROLE} "
        f"USING ({column} = {CURRENT_TENANT}) WITH CHECK ({column} = {CURRENT_TENANT})"
    )
    op.execute(f"CREATE POLICY operator ON {table} TO {OPERATOR_ROLE} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT {privileges} ON {table} TO {APP_ROLE}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {OPERATOR_ROLE}")


def allow_lookup(table: str, column: str) -> None:
    """Let the app read one row before the caller is authenticated, by a login's email or a key's public id."""
    op.execute(
        f"CREATE POLICY lookup ON {table} FOR SELECT TO {APP_ROLE} "
        f"USING ({column} = (SELECT NULLIF(current_setting('app.lookup', true), '')))"
    )


def count_as_owner(table: str) -> None:
    """Let the table's owner update all rows: cascading deletes, and thus the counting triggers, run as the owner.

    Forced row-level security applies to the owner too, so it needs a policy.
    """
    op.execute(f"CREATE POLICY counting ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
