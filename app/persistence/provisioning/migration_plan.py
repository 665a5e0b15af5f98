"""List the migrations that a database lacks, and say which of them servers of the old version survive."""

from dataclasses import dataclass

from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError

from app.errors import DatabaseNotReady
from app.persistence.provisioning.migrations import open_migrations
from migrations.contracting import CONTRACTING


@dataclass(frozen=True, slots=True)
class PendingMigration:
    """A migration that is not applied yet.

    `reason` says what it takes from servers of the version before; None if it only expands: they go on beside it.
    """

    revision: str
    title: str
    reason: str | None


def list_pending(revision: str | None) -> list[PendingMigration]:
    """Return the migrations after `revision` in the order in which they apply; None: all of them.

    Raises `DatabaseNotReady` if this version does not know the revision.
    """
    scripts: ScriptDirectory = open_migrations()
    try:
        later = list(scripts.iterate_revisions("head", revision or "base"))
    except RevisionError as exc:
        raise DatabaseNotReady(
            f"The database is at migration {revision}, which this version does not know: install the version that "
            f"migrated it, or a newer one."
        ) from exc
    return [
        PendingMigration(script.revision, (script.doc or "").splitlines()[0], CONTRACTING.get(script.revision))
        for script in reversed(later)
        if script.revision != revision
    ]
