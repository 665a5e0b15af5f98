"""SQL that closes a tenant-owned table to everybody but its tenant; used by the migrations that create such tables."""

from alembic import op

# Neither role owns anything, may log in, or bypasses row-level security: logins are made members of one of them.
APP_ROLE = "vultus_app"
OPERATOR_ROLE = "vultus_operator"

# In a subselect PostgreSQL evaluates it once a query. No context: NULL, and NULL equals no tenant.
CURRENT_TENANT = "(SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid)"


def create_roles() -> None:
    """Create both roles unless the server has them: roles belong to the server, not to one database."""
    for role in (APP_ROLE, OPERATOR_ROLE):
        op.execute(
            f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB; "
            f"EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
        # So that one login can do everything in development. Where another database's owner made the roles, whoever
        # runs the server must have granted them to this owner.
        op.execute(
            f"DO $$ BEGIN GRANT {role} TO CURRENT_USER; EXCEPTION WHEN insufficient_privilege THEN "
            f"IF NOT pg_has_role(CURRENT_USER, '{role}', 'MEMBER') THEN RAISE; END IF; END $$"
        )
        op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")


def isolate(table: str, column: str = "tenant_id", privileges: str = "SELECT, INSERT, UPDATE, DELETE") -> None:
    """Row-level security, forced on the owner too: the app sees its tenant's rows, the operator all."""
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
    """Let the app read the one row that a caller who is not yet known names: a login's email, a key's public id."""
    op.execute(
        f"CREATE POLICY lookup ON {table} FOR SELECT TO {APP_ROLE} "
        f"USING ({column} = (SELECT NULLIF(current_setting('app.lookup', true), '')))"
    )


def count_as_owner(table: str) -> None:
    """Let triggers that run in a cascade keep the table's counts.

    Cascades run as the tables' owner, whom forced row-level security binds as well.
    """
    op.execute(f"CREATE POLICY counting ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
