"""Write the SQL that prepares a PostgreSQL for Vultus: two roles, two logins, the database and its extension."""

from app.persistence.connections.database import APP_ROLE, OPERATOR_ROLE
from app.persistence.provisioning.backup_login import scram_verifier

_SCRIPT = """\
-- Prepares PostgreSQL for Vultus, once. Run it as a superuser: psql --file=roles.sql
-- It holds verifiers, not the passwords (SCRAM-SHA-256).
\\set ON_ERROR_STOP on
CREATE ROLE {app} NOLOGIN;
CREATE ROLE {operator} NOLOGIN;
-- Owns the schema: `vultus migrate` and the operator's commands.
CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD '{owner_verifier}';
GRANT {app}, {operator} TO {owner} WITH ADMIN OPTION;
-- The service: sees only the rows of the tenant that a request names.
CREATE ROLE {service} LOGIN PASSWORD '{service_verifier}' IN ROLE {app};
SELECT 'CREATE DATABASE {database}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec
ALTER DATABASE {database} OWNER TO {owner};
\\connect {database}
CREATE EXTENSION IF NOT EXISTS vector;
"""


def write_roles_script(database: str, owner: tuple[str, str], service: tuple[str, str]) -> str:
    """Return the script; `owner` and `service` are names and passwords. Names are plain identifiers."""
    return _SCRIPT.format(
        app=APP_ROLE,
        operator=OPERATOR_ROLE,
        database=database,
        owner=owner[0],
        owner_verifier=scram_verifier(owner[1]),
        service=service[0],
        service_verifier=scram_verifier(service[1]),
    )
