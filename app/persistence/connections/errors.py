"""Which database errors mean "not now", for both drivers' ways of saying so."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import ConsentRequired, DatabaseUnavailable, NotReady

# SQLSTATEs that say "not now": connection lost, shutting down, out of resources, deadlock, serialisation, lock or
# statement timeout, or what a row belongs to was deleted meanwhile (PostgreSQL, appendix A). SQLAlchemy gives some of
# them the general DBAPIError.
_PASSING = ("08", "53", "57P", "40P01", "40001", "55P03", "57014", "23503")


_UNMIGRATED = ("42P01", "42883")  # no such table, no such function: a database before the migration that makes them
_WITHOUT_CONSENT = "VU001"  # of our own trigger (migration 0009): the policy changed under way


@contextmanager
def unavailability() -> Iterator[None]:
    """Passing troubles of the block become `DatabaseUnavailable`; everything else passes as it is."""
    try:
        yield
    except (InterfaceError, OperationalError, PoolTimeoutError, asyncpg.InterfaceError, OSError) as exc:
        raise DatabaseUnavailable from exc
    except (DBAPIError, asyncpg.PostgresError) as exc:
        cause = exc.orig if isinstance(exc, DBAPIError) else exc
        if getattr(cause, "sqlstate", "") == _WITHOUT_CONSENT:
            raise ConsentRequired from exc
        if getattr(cause, "sqlstate", "") in _UNMIGRATED:
            raise NotReady("The database is not migrated: `vultus migrate`.") from exc
        if str(getattr(cause, "sqlstate", "")).startswith(_PASSING):
            raise DatabaseUnavailable from exc
        raise
