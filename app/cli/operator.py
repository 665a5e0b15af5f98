"""What the operator's commands share: the operator's database login, services, checked arguments."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import typer
from pydantic import TypeAdapter, ValidationError

from app.cli.settings import command_settings
from app.persistence.database import Database
from app.persistence.provision import provisioned_database


@asynccontextmanager
async def operator_database() -> AsyncIterator[Database]:
    """The database through the operator's login, for the time of the block."""
    settings = command_settings()
    async with provisioned_database(settings) as addresses:
        database = Database(addresses.operator, pool_size=2, behind_pgbouncer=settings.database_pgbouncer)
        try:
            yield database
        finally:
            await database.close()


def checked(kind: Any, value: object, name: str) -> Any:
    """The value as the API would take it; else the command was used wrongly."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as exc:
        raise typer.BadParameter(f"{name}: {exc.errors()[0]['msg'].removeprefix('Value error, ')}") from None
