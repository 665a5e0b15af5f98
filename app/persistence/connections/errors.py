"""Translates errors of SQLAlchemy and asyncpg into the service's errors; says which of them are transient."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError, ResourceClosedError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import ConsentRequired, DatabaseUnavailable, NotReady
from app.telemetry import get_logger

_log = get_logger(__name__)

# Prefixes of transient SQLSTATEs (PostgreSQL, appendix A): connection lost, shutdown, out of resources, deadlock,
# serialization failure, lock or statement timeout, and a parent row that a concurrent transaction deleted. So are the
# errors of a server that is being replaced or configured: a standby, a pooler
# that lost a statement, an idle transaction that was ended, and failures of the system or of PostgreSQL itself.
# SQLAlchemy raises the general DBAPIError for some of them.
_TRANSIENT = (
    "08", "53", "57", "40P01", "40001", "55P03", "23503", "25006", "25P03", "26000", "58", "XX",
)  # fmt: skip
# The driver lost track of a connection that was closed, or of a statement that a migration changed.
_LOST_CONNECTION = (
    asyncpg.InternalClientError,
    asyncpg.InvalidCachedStatementError,
    PendingRollbackError,
    ResourceClosedError,
)
# A wrong login, an unknown database; PgBouncer reports both as a protocol violation.
_REFUSED = ("28", "3D", "08P01")
_UNMIGRATED = ("42P01", "42883")  # undefined table or function: a migration is missing
_WITHOUT_CONSENT = "VU001"  # raised by our trigger (migration 0009), when the policy changed during the request


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise the service's error in place of a driver's; errors without a translation propagate unchanged.

    Transient errors and refused logins become `DatabaseUnavailable`, a missing table or function `NotReady`, and
    the consent trigger's error `ConsentRequired`.
    """
    try:
        yield
    except (
        InterfaceError,
        OperationalError,
        PoolTimeoutError,
        asyncpg.InterfaceError,
        OSError,
        *_LOST_CONNECTION,
    ) as exc:
        _log_refusal(exc)
        raise DatabaseUnavailable from exc
    except (DBAPIError, asyncpg.PostgresError) as exc:
        cause = exc.orig if isinstance(exc, DBAPIError) else exc
        if cause is not None and isinstance(cause.__cause__, _LOST_CONNECTION):
            raise DatabaseUnavailable from exc
        if getattr(cause, "sqlstate", "") == _WITHOUT_CONSENT:
            raise ConsentRequired from exc
        if getattr(cause, "sqlstate", "") in _UNMIGRATED:
            raise NotReady("The database schema is out of date: run `vultus migrate`.") from exc
        if str(getattr(cause, "sqlstate", "")).startswith((*_REFUSED, *_TRANSIENT)):
            _log_refusal(exc)
            raise DatabaseUnavailable from exc
        raise


def _log_refusal(exc: BaseException) -> None:
    """Log the reason if PostgreSQL, or a pooler in front of it, refuses the login; it never contains the password."""
    cause: BaseException | None = exc
    while cause is not None and not str(getattr(cause, "sqlstate", "") or "").startswith(_REFUSED):
        cause = cause.__cause__
    if cause is not None:
        _log.error("database_refuses_login", reason=str(cause))
