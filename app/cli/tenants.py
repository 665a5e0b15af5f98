"""`vultus tenants`, `plans`, `users` and `keys`: manage accounts as the operator."""

import asyncio
import json
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from app.cli.operator import checked, open_services
from app.cli.settings import command_settings
from app.cli.tables import AsJson, Quiet, show_rows, show_values
from app.errors import UserNotFound
from app.permissions import UNLIMITED, Permission, Plan, Quota, Role, Scope
from app.schemas.fields import DisplayName, Email, NewPassword
from app.schemas.operator import PlanName, QuotaNumber, Rate
from app.security.passwords import PasswordHasher, generate_password
from app.services.access.link_mails import LinkMails
from app.services.access.password_reset import ResetUser
from app.services.outbound.mail import Mailer
from app.services.paging import iterate_pages
from app.wiring.operator import OperatorServices

tenants = typer.Typer(help="Manage tenants.", no_args_is_help=True)
_MAX_DIGITS = 18

plans = typer.Typer(help="Manage plans with their rate limits and quotas.", no_args_is_help=True)
users = typer.Typer(help="Manage the users of a tenant.", no_args_is_help=True)
keys = typer.Typer(help="Manage the API keys of a tenant.", no_args_is_help=True)

Tenant = Annotated[str, typer.Argument(help="The tenant's id or name.")]
ForTenant = Annotated[str, typer.Option("--tenant", help="The tenant's id or name.")]


@tenants.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(help="The tenant's name.")],
    email: Annotated[str, typer.Option(help="Email of the tenant's first admin.")],
    plan: Annotated[str, typer.Option(help="The tenant's plan.")] = UNLIMITED,
    as_json: AsJson = False,
    quiet: Quiet = False,
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

    show_values(asyncio.run(run()), as_json, quiet)


@tenants.command("list")
def list_tenants(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List all tenants, the oldest first."""

    async def run() -> list[dict[str, str]]:
        async with open_services() as services:
            found = [tenant async for tenant in iterate_pages(services.operator().list_tenants)]
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

    show_rows(asyncio.run(run()), as_json, quiet)


@tenants.command("show")
def show_tenant(tenant: Tenant, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show a tenant with its plan, rate limits, and the used part of each quota."""

    async def run() -> dict[str, str]:
        async with open_services() as services:
            tenant_id = await services.find_tenant(tenant)
            record = await services.operator().get(tenant_id)
            async with services.in_tenant(tenant_id) as tenant_services:
                overview = await tenant_services.overview()
        limits = {quota.value: overview.plan.quota(quota) for quota in Quota}
        return {
            "tenant_id": str(tenant_id),
            "name": record.name,
            "created_at": record.created_at.isoformat(timespec="seconds"),
            "plan": record.plan,
            **{f"{permission.value} rate": overview.plan.rate(permission) for permission in Permission},
            **{
                quota.value: f"{used} of {limits[quota] if limits[quota] is not None else UNLIMITED}"
                for quota, used in overview.used.items()
            },
        }

    show_values(asyncio.run(run()), as_json, quiet)


@tenants.command("set-plan")
def set_plan(tenant: Tenant, plan: Annotated[str, typer.Argument(help="The plan's name.")]) -> None:
    """Change the plan of a tenant, starting with its next request."""

    async def run() -> None:
        async with open_services() as services:
            await services.operator().set_plan(await services.find_tenant(tenant), plan)

    asyncio.run(run())


@tenants.command("delete")
def delete_tenant(
    tenant: Tenant, yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False
) -> None:
    """Erase a tenant with all its users, keys, subjects and templates."""

    async def run() -> None:
        async with open_services() as services:
            found = await services.operator().get(await services.find_tenant(tenant))
            if not yes:
                typer.confirm(
                    f"Erase tenant {found.name!r} ({found.id}, {found.templates} templates) with all its users, keys, "
                    f"subjects and templates?",
                    abort=True,
                )
            await services.operator().delete(found.id)

    asyncio.run(run())


@plans.command("list")
def list_plans(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List all plans with their rate limits and quotas."""

    async def run() -> list[dict[str, str]]:
        async with open_services() as services:
            found = [plan async for plan in iterate_pages(services.operator().list_plans)]
        return [
            {
                "plan": plan.name,
                "rates": json.dumps(plan.all_rates()),
                "quotas": json.dumps({quota.value: plan.quota(quota) for quota in Quota}),
            }
            for plan in found
        ]

    show_rows(asyncio.run(run()), as_json, quiet)


@plans.command("set")
def set_plan_values(
    name: Annotated[str, typer.Argument(help="The plan's name; created if it does not exist.")],
    rate: Annotated[
        list[str],
        typer.Option(
            help="Rate limit as PERMISSION=RATE, such as recognize=60/minute, or PERMISSION=unlimited; repeatable."
        ),
    ] = [],  # noqa: B006
    quota: Annotated[list[str], typer.Option(help="Quota as WHAT=NUMBER or WHAT=unlimited; repeatable.")] = [],  # noqa: B006
) -> None:
    """Create or change a plan; changes apply from the next request. Limits that you do not name stay."""
    name = checked(PlanName, name, "NAME")
    rates = {
        Permission(key).value: checked(Rate, value, "--rate") for key, value in _pairs(rate, set(Permission), "--rate")
    }
    quotas = {
        Quota(key).value: None if value == UNLIMITED else checked(QuotaNumber, _read_number(value), "--quota")
        for key, value in _pairs(quota, set(Quota), "--quota")
    }

    async def run() -> None:
        async with open_services() as services:
            service = services.operator()
            current = await service.find_plan(name) or Plan(name)
            await service.save_plan(Plan(name, {**current.rates, **rates}, {**current.quotas, **quotas}))

    asyncio.run(run())


@users.command("list")
def list_users(tenant: ForTenant, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the users of a tenant."""

    async def run() -> list[dict[str, str]]:
        async with open_services() as services, services.in_tenant(tenant) as tenant_services:
            service = await tenant_services.users()
            found = [user async for user in iterate_pages(service.list)]
        return [{"user_id": str(user.id), "email": user.email, "role": user.role} for user in found]

    show_rows(asyncio.run(run()), as_json, quiet)


@users.command("add")
def add_user(
    email: Annotated[str, typer.Argument(help="The user's email.")],
    tenant: ForTenant,
    role: Annotated[Role, typer.Option(help="The user's role.")] = Role.VIEWER,
    as_json: AsJson = False,
    quiet: Quiet = False,
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

    show_values(asyncio.run(run()), as_json, quiet)


@users.command("remove")
def remove_user(
    email: Annotated[str, typer.Argument(help="The user's email.")],
    tenant: ForTenant,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove a user and end their sessions. API keys stay valid. A tenant keeps at least one admin."""
    email = checked(Email, email, "EMAIL")

    async def run() -> None:
        async with open_services() as services, services.in_tenant(tenant) as tenant_services:
            service = await tenant_services.users()
            found = [user.id async for user in iterate_pages(service.list) if user.email == email]
            if not found:
                raise UserNotFound(f"The tenant has no user {email!r}.")
            if not yes:
                typer.confirm(f"Remove the user {email}?", abort=True)
            await service.remove(found[0])

    asyncio.run(run())


@users.command("reset")
def reset_password(
    email: Annotated[str, typer.Argument(help="The user's email.")],
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Ask for the new password instead of making one up.")
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Print a link by which the user chooses the password, valid for one hour.")
    ] = False,
    remove_second_factor: Annotated[
        bool, typer.Option("--remove-second-factor", help="Also remove the user's second factor.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Replace a forgotten password and end the user's sessions. A generated password is shown only once."""
    email = checked(Email, email, "EMAIL")
    if prompt and link:
        raise typer.BadParameter("--prompt and --link exclude each other")
    if link:
        show_values(asyncio.run(_create_reset_link(email, remove_second_factor)), as_json, quiet)
        return
    if prompt:
        typed = typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
        password = checked(NewPassword, typed, "The password")
    else:
        password = generate_password()

    async def run() -> dict[str, str]:
        hasher = PasswordHasher()
        hashed = await hasher.hash(password)
        hasher.close()
        async with open_services() as services:
            user = await services.password_reset().run(email, hashed)
            await _remove_second_factor(services, user, remove_second_factor)
        values = {"user_id": str(user.user_id), "tenant_id": str(user.tenant_id), "email": user.email}
        return values if prompt else {**values, "password": password}

    show_values(asyncio.run(run()), as_json, quiet)


async def _create_reset_link(email: str, remove_second_factor: bool) -> dict[str, str]:
    async with open_services() as services:
        user = await services.password_reset().find_user(email)
        async with services.in_tenant(user.tenant_id) as tenant:
            record = await (await tenant.users()).get(user.user_id)
            issued = await tenant.account_links().issue_reset(record)
        await _remove_second_factor(services, user, remove_second_factor)
    link = LinkMails(Mailer(None), command_settings().public_url).link_to_reset(issued.token)
    return {"user_id": str(user.user_id), "tenant_id": str(user.tenant_id), "email": user.email, "link": link}


async def _remove_second_factor(services: OperatorServices, user: ResetUser, wanted: bool) -> None:
    if wanted:
        async with services.in_tenant(user.tenant_id) as tenant:
            await (await tenant.users()).remove_second_factor(user.user_id)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Name of the key, such as the program that uses it.")],
    tenant: ForTenant,
    scope: Annotated[list[Scope], typer.Option(help="Permission scope; repeatable.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Create an API key and print it. It is shown only once."""
    name = checked(DisplayName, name, "NAME")

    async def run() -> dict[str, str]:
        async with open_services() as services, services.in_tenant(tenant) as tenant_services:
            issued = await tenant_services.keys().issue(None, name=name, scopes=scope)
        return {"key_id": str(issued.record.id), "name": name, "key": issued.secret}

    show_values(asyncio.run(run()), as_json, quiet)


@keys.command("list")
def list_keys(tenant: ForTenant, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the active API keys of a tenant, the oldest first, without their secrets."""

    async def run() -> list[dict[str, str]]:
        async with open_services() as services, services.in_tenant(tenant) as tenant_services:
            found = [key async for key in iterate_pages(tenant_services.keys().list_keys)]
        return [
            {
                "key_id": str(key.id),
                "name": key.name or "",
                "scopes": " ".join(key.scopes),
                "collections": "all" if key.collections is None else " ".join(key.collections),
                "created_at": _tell_time(key.created_at, ""),
                "last_used_at": _tell_time(key.last_used_at, "never"),
                "expires_at": _tell_time(key.expires_at, "never"),
            }
            for key in found
        ]

    show_rows(asyncio.run(run()), as_json, quiet)


@keys.command("revoke")
def revoke_key(key_id: Annotated[UUID, typer.Argument(help="The key's id.")], tenant: ForTenant) -> None:
    """Revoke an API key at once."""

    async def run() -> None:
        async with open_services() as services, services.in_tenant(tenant) as tenant_services:
            await tenant_services.keys().revoke(key_id)

    asyncio.run(run())


def _tell_time(time: datetime | None, otherwise: str) -> str:
    return time.isoformat(timespec="seconds") if time is not None else otherwise


def _read_number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else text


def _pairs(arguments: list[str], allowed: set[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in arguments:
        key, separator, value = text.partition("=")
        if not separator or key not in allowed:
            raise typer.BadParameter(f"{option} {text}: use KEY=VALUE with one of {', '.join(sorted(allowed))}")
        pairs.append((key, value))
    return pairs
