"""What the operator's commands share: the operator's database login, services, checked arguments."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.settings import command_settings
from app.errors import TenantNotFound
from app.persistence.database import Database
from app.persistence.erasure_journal import ErasureJournal
from app.persistence.provision import DatabaseAddresses, provisioned_database
from app.persistence.repositories.audit import AuditRepository
from app.persistence.repositories.usage import UsageRepository
from app.security.keyring import Keyring
from app.services.audit import OPERATOR, AuditTrail


@asynccontextmanager
async def operator_database() -> AsyncIterator[Database]:
    """The database through the operator's login, for the time of the block."""
    async with provisioned_database(command_settings()) as addresses, operator_login(addresses) as database:
        yield database


@asynccontextmanager
async def operator_login(addresses: DatabaseAddresses) -> AsyncIterator[Database]:
    """The same for a database that is provisioned already."""
    settings = command_settings()
    database = Database(
        addresses.operator, pool_size=2, behind_pgbouncer=settings.database_pgbouncer,
        journal=ErasureJournal(settings.erasure_journal_path),
    )  # fmt: skip
    try:
        yield database
    finally:
        await database.close()


async def require_tenant(session: AsyncSession, tenant_id: UUID) -> None:
    """Raises `TenantNotFound`; without it, it would be said that something of the tenant's is not there."""
    if await UsageRepository(session, tenant_id).overview() is None:
        raise TenantNotFound


def command_keyring() -> Keyring:
    """The service's secrets, as this process's settings have them."""
    return Keyring(command_settings().signing_keys())


def operator_trail(session: AsyncSession, tenant_id: UUID, keyring: Keyring) -> AuditTrail:
    """The audit trail of a tenant, for what the operator does there."""
    return AuditTrail(AuditRepository(session, tenant_id), keyring, OPERATOR)


def checked(kind: Any, value: object, name: str) -> Any:
    """The value as the API would take it; else the command was used wrongly."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as exc:
        raise typer.BadParameter(f"{name}: {exc.errors()[0]['msg'].removeprefix('Value error, ')}") from None
