"""Provides the database's URLs: the configured database, or the embedded one, started and migrated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class DatabaseAddresses:
    """URLs of one database with two logins: the service's, subject to row-level security, and the operator's."""

    service: str
    operator: str
    embedded: EmbeddedPostgres | None = None
    """The embedded server, if it provides the database."""


@asynccontextmanager
async def provisioned_database(settings: Settings) -> AsyncIterator[DatabaseAddresses]:
    """Provide the database's URLs for the block.

    A configured database is not migrated here; the operator runs `vultus migrate`. Without one, this starts and
    migrates the embedded PostgreSQL, and stops it afterwards unless another process uses it. Raises `DatabaseNotReady`.
    """
    if settings.database_url is not None:
        service = settings.database_url.get_secret_value()
        operator = settings.database_admin_url.get_secret_value() if settings.database_admin_url else service
        yield DatabaseAddresses(service, operator)
        return
    embedded = EmbeddedPostgres(settings.resolved_data_dir)
    await asyncio.to_thread(embedded.start)
    try:
        operator = await embedded.ensure_database()
        await asyncio.to_thread(migrate, operator)
        yield DatabaseAddresses(await embedded.ensure_service_login(), operator, embedded)
    finally:
        await asyncio.to_thread(embedded.stop)


@asynccontextmanager
async def readable_database(settings: Settings) -> AsyncIterator[str | None]:
    """Provide the URL of the operator's login for the block, without migrating; None if there is no database yet."""
    if settings.database_url is not None:
        yield (settings.database_admin_url or settings.database_url).get_secret_value()
        return
    embedded = EmbeddedPostgres(settings.resolved_data_dir)
    if not embedded.exists():
        yield None
        return
    await asyncio.to_thread(embedded.start)
    try:
        yield await embedded.ensure_database()
    finally:
        await asyncio.to_thread(embedded.stop)
