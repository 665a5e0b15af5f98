"""`vultus tenants`, `vultus plans`, `vultus users` and `vultus keys`: for whoever runs the service."""

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
plans = typer.Typer(help="Manage plans: rates and quotas.", no_args_is_help=True)
users = typer.Typer(help="Manage the users of a tenant.", no_args_is_help=True)
keys = typer.Typer(help="Manage the API keys of a tenant.", no_args_is_help=True)

TenantId = Annotated[UUID, typer.Argument(help="The tenant's id.")]
ForTenant = Annotated[UUID, typer.Option("--tenant", help="The tenant's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]

_out = Console(soft_wrap=True, highlight=False)


@tenants.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(help="The tenant's name.")],
    email: Annotated[str, typer.Option(help="Email of the tenant's first admin.")],
    plan: Annotated[str, typer.Option(help="The tenant's plan.")] = "free",
    as_json: AsJson = False,
) -> None:
    """Create a tenant with its first admin and a first access-key pair; their secrets are shown only now."""
    name, email = checked(DisplayName, name, "NAME"), checked(Email, email, "--email")
    password = generate_password()

    async def run() -> dict[str, str]:
        hasher = PasswordHasher()
        async with open_services() as services:
            created = await services.tenants(hasher).create(name, email, password, plan)
            async with services.in_tenant(created.tenant_id) as own:
                _, pair = await own.keys().issue_access_key(None, list(Scope))
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
    """Every tenant, oldest first."""

    async def run() -> list[dict[str, str]]:
        async with open_services() as services:
            found = await services.operator().list_tenants()
        return [
            {
                "tenant_id": str(one.id),
                "name": one.name,
                "plan": one.plan,
                "templates": str(one.templates),
                "created_at": one.created_at.isoformat(timespec="seconds"),
            }
            for one in found
        ]

    show_rows(asyncio.run(run()), as_json)


@tenants.command("set-plan")
def set_plan(tenant: TenantId, plan: Annotated[str, typer.Argument(help="The plan's name.")]) -> None:
    """Put a tenant on a plan, from its next request on."""

    async def run() -> None:
        async with open_services() as services:
            await services.operator().set_plan(tenant, plan)

    asyncio.run(run())


@tenants.command("delete")
def delete_tenant(tenant: TenantId, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Erase a tenant with its users, keys, subjects and templates."""
    if not yes:
        typer.confirm(f"Erase tenant {tenant} and everything it has?", abort=True)

    async def run() -> None:
        async with open_services() as services:
            await services.operator().delete(tenant)

    asyncio.run(run())


@plans.command("list")
def list_plans(as_json: AsJson = False) -> None:
    """Every plan with its rates and quotas."""

    async def run() -> list[dict[str, str]]:
        async with open_services() as services:
            found = await services.operator().list_plans()
        return [
            {"plan": one.name, "rates": json.dumps(dict(one.rates)), "quotas": json.dumps(dict(one.quotas))}
            for one in found
        ]

    show_rows(asyncio.run(run()), as_json)


@plans.command("set")
def set_plan_values(
    name: Annotated[str, typer.Argument(help="The plan's name; a new one is created.")],
    rate: Annotated[list[str], typer.Option(help="PERMISSION=RATE, as recognize=60/minute; repeat.")] = [],  # noqa: B006
    quota: Annotated[list[str], typer.Option(help="WHAT=NUMBER or WHAT=unlimited; repeat.")] = [],  # noqa: B006
) -> None:
    """Create or change a plan; tenants on it feel it with their next request. What is not named stays."""
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
            old = next((plan for plan in await service.list_plans() if plan.name == name), Plan(name))
            await service.save_plan(Plan(name, {**old.rates, **rates}, {**old.quotas, **quotas}))

    asyncio.run(run())


@users.command("list")
def list_users(tenant: ForTenant, as_json: AsJson = False) -> None:
    """The users of a tenant."""

    async def run() -> list[dict[str, str]]:
        async with open_services() as services, services.in_tenant(tenant) as own:
            found = await (await own.users()).list()
        return [{"user_id": str(one.id), "email": one.email, "role": one.role} for one in found]

    show_rows(asyncio.run(run()), as_json)


@users.command("add")
def add_user(
    email: Annotated[str, typer.Argument(help="The user's email.")],
    tenant: ForTenant,
    role: Annotated[Role, typer.Option(help="The user's role.")] = Role.VIEWER,
    as_json: AsJson = False,
) -> None:
    """Add a user; the password is shown only now."""
    email, password = checked(Email, email, "EMAIL"), generate_password()

    async def run() -> dict[str, str]:
        hasher = PasswordHasher()
        hashed = await hasher.hash(password)
        hasher.close()
        async with open_services() as services, services.in_tenant(tenant) as own:
            user = await (await own.users()).add(email, hashed, role)
        return {"user_id": str(user.id), "email": user.email, "role": user.role, "password": password}

    _show(asyncio.run(run()), as_json)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    tenant: ForTenant,
    scope: Annotated[list[Scope], typer.Option(help="What it may do; repeat.")],
    as_json: AsJson = False,
) -> None:
    """Issue an API key; its text is shown only now."""
    name = checked(DisplayName, name, "NAME")

    async def run() -> dict[str, str]:
        async with open_services() as services, services.in_tenant(tenant) as own:
            issued = await own.keys().issue(None, name=name, scopes=scope)
        return {"key_id": str(issued.record.id), "name": name, "key": issued.secret}

    _show(asyncio.run(run()), as_json)


@keys.command("revoke")
def revoke_key(key_id: Annotated[UUID, typer.Argument(help="The key's id.")], tenant: ForTenant) -> None:
    """Make an API key worthless at once."""

    async def run() -> None:
        async with open_services() as services, services.in_tenant(tenant) as own:
            await own.keys().revoke(key_id)

    asyncio.run(run())


def _pairs(given: list[str], known: set[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in given:
        key, separator, value = text.partition("=")
        if not separator or key not in known:
            raise typer.BadParameter(f"{option} {text}: want one of {', '.join(sorted(known))}, then = and a value")
        pairs.append((key, value))
    return pairs


def _show(values: dict[str, str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values))
    else:
        for key, value in values.items():
            typer.echo(f"{key:<18} {value}")
