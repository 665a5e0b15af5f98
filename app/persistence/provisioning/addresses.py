"""Finds the database to use: the one that is configured, or the embedded one, started and migrated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class DatabaseAddresses:
    """Two logins of one database: the service's, which row-level security binds, and the operator's."""

    service: str
    operator: str


@asynccontextmanager
async def provisioned_database(settings: Settings) -> AsyncIterator[DatabaseAddresses]:
    """The database's addresses for the time of the block.

    A configured database is taken as it is (`vultus migrate` is the operator's step). Without one, the embedded
    PostgreSQL is started, migrated, and stopped at the end unless another process uses it. Raises `DatabaseNotReady`.
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
        yield DatabaseAddresses(await embedded.ensure_service_login(), operator)
    finally:
        await asyncio.to_thread(embedded.stop)
