"""`vultus migrate`: update the database schema, or show what an update would do."""

import asyncio
from typing import Annotated

import typer

from app.cli.database import announce_database
from app.cli.settings import command_settings
from app.cli.tables import AsJson, Quiet, show_rows, show_values
from app.persistence.connections.database import Database
from app.persistence.provisioning.addresses import provisioned_database, readable_database
from app.persistence.provisioning.logins import check_operator_login
from app.persistence.provisioning.migration_plan import PendingMigration, list_pending
from app.persistence.provisioning.migrations import head_revision, migrate
from app.settings import Settings


def migrate_database(
    is_plan: Annotated[
        bool, typer.Option("--plan", help="Only show the pending migrations, and which need a stopped service.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Create or update the schema of the configured or embedded database."""
    settings = command_settings()
    if is_plan:
        revision = asyncio.run(_read_revision(settings))
        _show_plan(revision, list_pending(revision), as_json, quiet)
        return

    async def run() -> None:
        await check_operator_login(settings)
        announce_database(settings)
        async with provisioned_database(settings) as addresses:
            await asyncio.to_thread(migrate, addresses.operator)

    asyncio.run(run())
    if as_json or quiet:
        show_values({"migration": head_revision()}, as_json, quiet)
    else:
        typer.echo(f"The database is at migration {head_revision()}.")


async def _read_revision(settings: Settings) -> str | None:
    """Return the newest applied migration; None for an unmigrated or missing database. Changes nothing."""
    async with readable_database(settings) as address:
        if address is None:
            return None
        database = Database(address, pool_size=1)
        try:
            return await database.revision()
        finally:
            await database.close()


def _show_plan(revision: str | None, pending: list[PendingMigration], as_json: bool, quiet: bool) -> None:
    rows = [
        {
            "migration": one.revision,
            "kind": "expands" if one.reason is None else "contracts",
            "title": one.title,
            "reason": one.reason or "",
        }
        for one in pending
    ]
    if pending or as_json or quiet:
        show_rows(rows, as_json, quiet)
    if as_json or quiet:
        return
    at = f"at migration {revision}" if revision is not None else "empty"
    if not pending:
        typer.echo(f"The database is {at}; nothing is pending.")
    elif all(one.reason is None for one in pending) and revision is not None:
        typer.echo(
            f"The database is {at}. Every pending migration only expands: servers of the old version still answer."
        )
    else:
        typer.echo(f"The database is {at}. Stop the service before `vultus migrate`.")
