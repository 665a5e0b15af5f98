"""Migrates a database to the newest schema; the only file that runs Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from app.errors import DatabaseNotReady

_MIGRATIONS = Path(__file__).resolve().parents[3] / "migrations"


def migrate(url: str, revision: str = "head") -> None:
    """Apply all migrations up to `revision`; blocks.

    Several processes may call it at once. Raises `DatabaseNotReady`.
    """
    try:
        command.upgrade(_config(url), revision)
    except (DBAPIError, OSError) as exc:
        reason = getattr(exc, "orig", None) or exc
        raise DatabaseNotReady(f"The database could not be migrated: {reason}") from exc


def head_revision() -> str:
    """Return the id of the newest migration in this version of Vultus."""
    head = open_migrations().get_current_head()
    if head is None:  # pragma: no cover - the package ships its migrations
        raise DatabaseNotReady(f"There are no migrations in {_MIGRATIONS}; reinstall Vultus.")
    return head


def open_migrations() -> ScriptDirectory:
    """Return the migrations of this version."""
    return ScriptDirectory.from_config(_config(""))


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = url
    return config
