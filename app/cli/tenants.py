"""`vultus tenants`, `plans`, `users` and `keys`: manage accounts as the operator."""

import asyncio
import json
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from app.cli.operator import checked, open_services
from app.cli.tables import show_rows
from app.permissions import Permission, Plan, Quota, Role, Scope
from app.schemas.fields import DisplayName, Email
from app.schemas.operator import PlanName, QuotaNumber, Rate
from app.security.passwords import PasswordHasher, generate_password

tenants = typer.Typer(help="Manage tenants.", no_args_is_help=True)
plans = typer.Typer(help="Manage plans with their rate limits and quotas.", no_args_is_help=True)
users = typer.Typer(help="Manage the users of a tenant.", no_args_is_help=True)
keys = typer.Typer(help="Manage the API keys of a tenant.", no_args_is_help=True)

TenantId = Annotated[UUID, typer.Argument(help="The tenant's id.")]
ForTenant = Annotated[UUID, typer.Option("--tenant", help="The tenant's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]

_out = Console(soft_wrap=True, highlight=False)


@tenants.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(help="The tenant's name.")],
    email: Annotated[str, typer.Option(help="Email of the tenant's first admin.")],
    plan: Annotated[str, typer.Option(help="The tenant's plan.")] = "free",
    as_json: AsJson = False,
) -> None:
    """Create a tenant with its first admin and access key. Their secrets are shown only once."""
    name, email = checked(DisplayName, name, "NAME"), checked(Email, email, "--email")
    password = generate_password()

    async def run() -> dict[str, str]:
        hasher = PasswordHasher()
        async with open_services() as services:
            created = await services.tenants(hasher).create(name, email, password, plan)
            async with services.in_tenant(created.tenant_id) as tenant_services:
                _, pair = await tenant_services.keys().issue_access_key(None, list(Scope))
        hasher.close()
        return {
            "tenant_id": str(created.tenant_id),
            "email": created.email,
            "password": password,
            "access_key_id": pair.public_id,
            "secret_access_key": pair.secret,
        }

    _show(asyncio.run(run()), as_json)


@tenants.command("list")
def list_tenants(as_json: AsJson = False) -> None:
    """List all tenants, the oldest first."""

    async def run() -> list[dict[str, str]]:
        async with open_services() as services:
            found = await services.operator().list_tenants()
        return [
            {
                "tenant_id": str(tenant.id),
                "name": tenant.name,
                "plan": tenant.plan,
                "templates": str(tenant.templates),
                "created_at": tenant.created_at.isoformat(timespec="seconds"),
            }
            for tenant in found
        ]

    show_rows(asyncio.run(run()), as_json)


@tenants.command("set-plan")
def set_plan(tenant: TenantId, plan: Annotated[str, typer.Argument(help="The plan's name.")]) -> None:
    """Change the plan of a tenant, starting with its next request."""

    async def run() -> None:
        async with open_services() as services:
            await services.operator().set_plan(tenant, plan)

    asyncio.run(run())


@tenants.command("delete")
def delete_tenant(
    tenant: TenantId, yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False
) -> None:
    """Erase a tenant with all its users, keys, subjects and templates."""
    if not yes:
        typer.confirm(f"Erase tenant {tenant} with all its users, keys, subjects and templates?", abort=True)

    async def run() -> None:
        async with open_services() as services:
            await services.operator().delete(tenant)

    asyncio.run(run())


@plans.command("list")
def list_plans(as_json: AsJson = False) -> None:
    """List all plans with their rate limits and quotas."""

    async def run() -> list[dict[str, str]]:
        async with open_services() as services:
            found = await services.operator().list_plans()
        return [
            {"plan": plan.name, "rates": json.dumps(dict(plan.rates)), "quotas": json.dumps(dict(plan.quotas))}
            for plan in found
        ]

    show_rows(asyncio.run(run()), as_json)


@plans.command("set")
def set_plan_values(
    name: Annotated[str, typer.Argument(help="The plan's name; created if it does not exist.")],
    rate: Annotated[
        list[str], typer.Option(help="Rate limit as PERMISSION=RATE, such as recognize=60/minute; repeatable.")
    ] = [],  # noqa: B006
    quota: Annotated[list[str], typer.Option(help="Quota as WHAT=NUMBER or WHAT=unlimited; repeatable.")] = [],  # noqa: B006
) -> None:
    """Create or change a plan; changes apply from the next request. Limits that you do not name stay."""
    name = checked(PlanName, name, "NAME")
    rates = {
        Permission(key).value: checked(Rate, value, "--rate") for key, value in _pairs(rate, set(Permission), "--rate")
    }
    quotas = {
        Quota(key).value: None if value == "unlimited" else checked(QuotaNumber, value, "--quota")
        for key, value in _pairs(quota, set(Quota), "--quota")
    }

    async def run() -> None:
        async with open_services() as services:
            service = services.operator()
            current = next((plan for plan in await service.list_plans() if plan.name == name), Plan(name))
            await service.save_plan(Plan(name, {**current.rates, **rates}, {**current.quotas, **quotas}))

    asyncio.run(run())


@users.command("list")
def list_users(tenant: ForTenant, as_json: AsJson = False) -> None:
    """List the users of a tenant."""

    async def run() -> list[dict[str, str]]:
        async with open_services() as services, services.in_tenant(tenant) as tenant_services:
            found = await (await tenant_services.users()).list()
        return [{"user_id": str(user.id), "email": user.email, "role": user.role} for user in found]

    show_rows(asyncio.run(run()), as_json)


@users.command("add")
def add_user(
    email: Annotated[str, typer.Argument(help="The user's email.")],
    tenant: ForTenant,
    role: Annotated[Role, typer.Option(help="The user's role.")] = Role.VIEWER,
    as_json: AsJson = False,
) -> None:
    """Add a user and print the password. It is shown only once."""
    email, password = checked(Email, email, "EMAIL"), generate_password()

    async def run() -> dict[str, str]:
        hasher = PasswordHasher()
        hashed = await hasher.hash(password)
        hasher.close()
        async with open_services() as services, services.in_tenant(tenant) as tenant_services:
            user = await (await tenant_services.users()).add(email, hashed, role)
        return {"user_id": str(user.id), "email": user.email, "role": user.role, "password": password}

    _show(asyncio.run(run()), as_json)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Name of the key, such as the program that uses it.")],
    tenant: ForTenant,
    scope: Annotated[list[Scope], typer.Option(help="Permission scope; repeatable.")],
    as_json: AsJson = False,
) -> None:
    """Create an API key and print it. It is shown only once."""
    name = checked(DisplayName, name, "NAME")

    async def run() -> dict[str, str]:
        async with open_services() as services, services.in_tenant(tenant) as tenant_services:
            issued = await tenant_services.keys().issue(None, name=name, scopes=scope)
        return {"key_id": str(issued.record.id), "name": name, "key": issued.secret}

    _show(asyncio.run(run()), as_json)


@keys.command("revoke")
def revoke_key(key_id: Annotated[UUID, typer.Argument(help="The key's id.")], tenant: ForTenant) -> None:
    """Revoke an API key at once."""

    async def run() -> None:
        async with open_services() as services, services.in_tenant(tenant) as tenant_services:
            await tenant_services.keys().revoke(key_id)

    asyncio.run(run())


def _pairs(arguments: list[str], allowed: set[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in arguments:
        key, separator, value = text.partition("=")
        if not separator or key not in allowed:
            raise typer.BadParameter(f"{option} {text}: use KEY=VALUE with one of {', '.join(sorted(allowed))}")
        pairs.append((key, value))
    return pairs


def _show(values: dict[str, str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values))
    else:
        for key, value in values.items():
            typer.echo(f"{key:<18} {value}")
