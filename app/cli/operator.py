"""What the operator's commands share: services, and validation of arguments by the API's rules."""

from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError

from app.cli.database import announce_database
from app.cli.settings import command_settings
from app.security.keyring import Keyring
from app.wiring.operator import OperatorServices, operator_services


def open_services() -> AbstractAsyncContextManager[OperatorServices]:
    """Open the operator's services with this process's settings."""
    settings = command_settings()
    announce_database(settings)
    return operator_services(settings)


async def find_tenant(name_or_id: str | None) -> UUID | None:
    """Return the id of the tenant with this id or name; None without one. Raises `TenantNotFound` or `Conflict`."""
    if name_or_id is None:
        return None
    async with open_services() as services:
        return await services.find_tenant(name_or_id)


def command_keyring() -> Keyring:
    """Return the keyring of this process's settings."""
    return Keyring(command_settings().signing_keys())


def checked(kind: Any, value: object, name: str) -> Any:
    """Validate an argument as the API would; raises `typer.BadParameter`."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as exc:
        raise typer.BadParameter(f"{name}: {exc.errors()[0]['msg'].removeprefix('Value error, ')}") from None
