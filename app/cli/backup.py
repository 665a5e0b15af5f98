"""`vultus backup`: dump the database completely, and check a dump without restoring it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import StringConstraints
from sqlalchemy import make_url

from app.cli.database import announce_database
from app.cli.operator import checked
from app.cli.settings import command_settings
from app.cli.tables import AsJson, Quiet, show_rows, show_values
from app.errors import DatabaseNotReady, OperatorError
from app.persistence.provisioning.addresses import provisioned_database
from app.persistence.provisioning.backup_login import create_backup_login
from app.persistence.provisioning.backup_record import record_backup
from app.persistence.provisioning.backups import (
    REQUIRED,
    TENANTS,
    Rows,
    count_dumped_rows,
    count_stored_tenants,
    create_backup,
)
from app.persistence.provisioning.logins import check_backup_login, check_operator_login
from app.security.passwords import generate_password
from app.settings import Settings

cli = typer.Typer(help="Back up the database, and check backups.", no_args_is_help=True)

LoginName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]


@cli.command()
def create(
    file: Annotated[Path, typer.Argument(help="The dump to write, in pg_dump's custom format.", dir_okay=False)],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Dump the database and compare the dump with it. A dump that lacks rows is deleted; exits with 1 then."""
    if not file.absolute().parent.is_dir():
        raise OperatorError(f"{file.parent} is not a directory.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # deletes the unfinished dump

    settings = command_settings()

    async def run() -> Rows:
        async with _backup_address(settings) as address:
            return await create_backup(address, file.absolute())

    rows = asyncio.run(run())
    record_backup(settings.resolved_data_dir, file.absolute())
    show_rows(_describe(rows), as_json, quiet)


@cli.command()
def check(
    file: Annotated[Path, typer.Argument(help="A dump in pg_dump's custom format.", exists=True, dir_okay=False)],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read a whole dump and count its rows; nothing is restored.

    Exits with 1 if the dump is damaged, lacks a table, or holds no tenant although the database has some.
    """
    rows = asyncio.run(count_dumped_rows(file))
    missing = [table for table in REQUIRED if table not in rows]
    if missing:
        raise OperatorError(f"{file} is no backup of Vultus: it holds no rows of {', '.join(missing)}.")
    if not rows[TENANTS]:
        asyncio.run(_refuse_empty(file))
    show_rows(_describe(rows), as_json, quiet)


@cli.command("create-login")
def create_login(
    name: Annotated[str, typer.Argument(help="Name of the login.")] = "vultus_backup",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Create a login that reads every tenant's rows and writes nothing. Its address is shown only once.

    Needs a superuser in VULTUS_DATABASE_ADMIN_URL, or from PostgreSQL 16 on a login with CREATEROLE and BYPASSRLS.
    """
    name, password = checked(LoginName, name, "NAME"), generate_password()

    async def run() -> str:
        settings = command_settings()
        _require(await check_operator_login(settings))
        announce_database(settings)
        async with provisioned_database(settings) as addresses:
            await create_backup_login(addresses.operator, name, password)
            address = make_url(addresses.operator).set(username=name, password=password)
            return address.render_as_string(hide_password=False)

    show_values({"VULTUS_DATABASE_BACKUP_URL": asyncio.run(run())}, as_json, quiet)


async def _refuse_empty(file: Path) -> None:
    async with _backup_address(command_settings()) as address:
        tenants = await count_stored_tenants(address)
    if tenants:
        raise OperatorError(
            f"{file} holds no tenant, but the database has {tenants}: row-level security hid them from the login that "
            f"dumped it. Use `vultus backup create`."
        )


@asynccontextmanager
async def _backup_address(settings: Settings) -> AsyncIterator[str]:
    """Provide the URL of the login for backups: its own, or the operator's."""
    _require(await check_backup_login(settings))
    announce_database(settings)
    async with provisioned_database(settings) as addresses:
        own = settings.database_backup_url
        yield own.get_secret_value() if own is not None else addresses.operator


def _require(problem: str | None) -> None:
    if problem is not None:
        raise DatabaseNotReady(problem)


def _describe(rows: Rows) -> list[dict[str, str]]:
    return [{"table": table, "rows": str(count)} for table, count in sorted(rows.items())]
