"""Create the login for backups: it reads every row of every table and writes nothing."""

import base64
import hashlib
import hmac
import secrets

import asyncpg

from app.errors import DatabaseNotReady, OperatorError
from app.persistence.connections.database import driver_address

_ITERATIONS = 4096  # PostgreSQL's own
_STATEMENTS = (
    "CREATE ROLE %I LOGIN BYPASSRLS PASSWORD %L",
    "GRANT pg_read_all_data TO %I",
    "ALTER ROLE %I SET default_transaction_read_only = on",
)


async def create_backup_login(url: str, name: str, password: str) -> None:
    """Create a login with BYPASSRLS that is a member of `pg_read_all_data`.

    PostgreSQL receives the password's verifier only, because it may log statements. Raises `DatabaseNotReady` if the
    login of `url` lacks the rights, and `OperatorError` if the name is taken.
    """
    connection = await asyncpg.connect(driver_address(url), statement_cache_size=0)
    try:
        async with connection.transaction():
            for statement in _STATEMENTS:
                values = [name, scram_verifier(password)][: statement.count("%")]
                parameters = ", ".join(f"${number + 1}::text" for number in range(len(values)))
                quoted = await connection.fetchval(f"SELECT format('{statement}', {parameters})", *values)
                await connection.execute(quoted)
    except asyncpg.DuplicateObjectError:
        raise OperatorError(f"The login {name!r} exists already; choose another name, or drop it.") from None
    except asyncpg.InsufficientPrivilegeError as exc:
        raise DatabaseNotReady(
            f"This login may not create a login that reads every row ({exc}). Let the server's administrator run "
            f"CREATE ROLE {name} LOGIN BYPASSRLS PASSWORD '...' IN ROLE pg_read_all_data; without such a login, "
            f"`vultus backup create` uses the owner's."
        ) from exc
    finally:
        await connection.close()


def scram_verifier(password: str) -> str:
    """Return the SCRAM-SHA-256 verifier of a password in ASCII, as PostgreSQL stores it (RFC 5802)."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    coded_salt, coded_client, coded_server = (base64.b64encode(part).decode() for part in (salt, client, server))
    return f"SCRAM-SHA-256${_ITERATIONS}:{coded_salt}${coded_client}:{coded_server}"
