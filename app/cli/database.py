"""Say which database a command uses, before it creates one: in another folder it would be an empty one."""

import typer

from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.settings import Settings


def announce_database(settings: Settings, *, even_if_it_exists: bool = False) -> None:
    """Write one line on stderr before the embedded database is created, or also before it is used."""
    if settings.database_url is not None:
        return
    embedded = EmbeddedPostgres(settings.resolved_data_dir)
    if not embedded.exists():
        typer.echo(
            f"vultus: creating an empty database in {embedded.directory}; VULTUS_DATA_DIR names another directory.",
            err=True,
        )
    elif even_if_it_exists:
        typer.echo(f"vultus: using the database in {embedded.directory}.", err=True)
