"""`vultus tenants`: for whoever runs the service."""

import asyncio
import json
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from app.cli.settings import command_settings
from app.persistence.database import Database
from app.persistence.provision import provisioned_database
from app.schemas.fields import DisplayName, Email
from app.security.passwords import PasswordHasher, generate_password
from app.services.tenants import CreatedTenant, TenantService

cli = typer.Typer(help="Manage tenants.", no_args_is_help=True)


@cli.callback()
def tenants() -> None:
    """Manage tenants."""


@cli.command()
def create(
    name: Annotated[str, typer.Argument(help="The tenant's name.")],
    email: Annotated[str, typer.Option(help="Email of the tenant's first admin.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Create a tenant with its first admin, and print the admin's password, which is shown only now."""
    name, email = _checked(DisplayName, name, "NAME"), _checked(Email, email, "--email")
    password = generate_password()
    created = asyncio.run(_create(name, email, password))
    if as_json:
        typer.echo(json.dumps({"tenant_id": str(created.tenant_id), "email": created.email, "password": password}))
    else:
        typer.echo(f"tenant_id  {created.tenant_id}\nemail      {created.email}\npassword   {password}")


async def _create(name: str, email: str, password: str) -> CreatedTenant:
    settings, hasher = command_settings(), PasswordHasher()
    async with provisioned_database(settings) as addresses:
        database = Database(addresses.operator, pool_size=1)
        try:
            return await TenantService(database, hasher).create(name, email, password)
        finally:
            await database.close()
            hasher.close()


def _checked(kind: Any, value: str, name: str) -> str:
    try:
        checked: str = TypeAdapter(kind).validate_python(value)
    except ValidationError as exc:
        raise typer.BadParameter(f"{name}: {exc.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return checked
