"""What the operator's commands share: their services, and arguments checked as the API checks them."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import typer
from pydantic import TypeAdapter, ValidationError

from app.cli.settings import command_settings
from app.security.keyring import Keyring
from app.wiring.operator import OperatorServices, operator_services


def open_services() -> AbstractAsyncContextManager[OperatorServices]:
    """The operator's services, by this process's settings."""
    return operator_services(command_settings())


def command_keyring() -> Keyring:
    """The service's secrets, as this process's settings have them."""
    return Keyring(command_settings().signing_keys())


def checked(kind: Any, value: object, name: str) -> Any:
    """The value as the API would take it; raises `typer.BadParameter`."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as exc:
        raise typer.BadParameter(f"{name}: {exc.errors()[0]['msg'].removeprefix('Value error, ')}") from None
