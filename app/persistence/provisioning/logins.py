"""Check the configured logins before anything else is done: a wrong password must stop a start in one line."""

import asyncpg

from app.errors import DatabaseNotReady
from app.persistence.connections.database import async_url, driver_address
from app.settings import Settings

_TIMEOUT_S = 5
# Prefixes of SQLSTATEs (PostgreSQL, appendix A) that waiting does not cure: a wrong login and an unknown database.
# PgBouncer reports both as a protocol violation.
_PERMANENT = ("28", "3D", "08P01", "42501")


async def check_service_login(settings: Settings) -> str | None:
    """Connect once with the service's login; see `_check`."""
    if settings.database_url is None:
        return None
    return await _check(settings.database_url.get_secret_value(), "VULTUS_DATABASE_URL")


async def check_operator_login(settings: Settings) -> str | None:
    """Connect once with the operator's login, which is the service's unless there is one of its own; see `_check`."""
    if settings.database_admin_url is None or settings.database_url is None:
        return await check_service_login(settings)
    return await _check(settings.database_admin_url.get_secret_value(), "VULTUS_DATABASE_ADMIN_URL")


async def check_backup_login(settings: Settings) -> str | None:
    """Connect once with the login for backups, which is the operator's unless there is one of its own; see `_check`."""
    if settings.database_backup_url is None:
        return await check_operator_login(settings)
    return await _check(settings.database_backup_url.get_secret_value(), "VULTUS_DATABASE_BACKUP_URL")


async def _check(url: str, setting: str) -> str | None:
    """Return None, or the reason why PostgreSQL does not respond now; the message never contains the password.

    Raises `DatabaseNotReady` if it refuses the login or has no such database.
    """
    address = async_url(url)
    server = f"{setting}: PostgreSQL at {address.host or 'localhost'}:{address.port or 5432}"
    try:
        connection = await asyncpg.connect(driver_address(url), timeout=_TIMEOUT_S, statement_cache_size=0)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
        if str(getattr(exc, "sqlstate", "")).startswith(_PERMANENT):
            raise DatabaseNotReady(f"{server} refuses the login: {exc}.") from exc
        return f"{server} does not accept connections yet: {exc}."
    except TimeoutError:
        return f"{server} did not respond within {_TIMEOUT_S} seconds."
    except OSError as exc:
        return f"{server} does not respond: {exc.strerror or exc}."
    await connection.close()
    return None
