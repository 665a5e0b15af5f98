"""Finds the database to use: the one that is configured, or the embedded one, started and migrated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.persistence.embedded import EmbeddedPostgres
from app.persistence.migration import migrate
from app.settings import Settings


@asynccontextmanager
async def provisioned_database_url(settings: Settings) -> AsyncIterator[str]:
    """The database's address for the time of the block.

    A configured database is taken as it is (`vultus migrate` is the operator's step). Without one, the embedded
    PostgreSQL is started, migrated, and stopped at the end unless another process uses it. Raises `DatabaseNotReady`.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    embedded = EmbeddedPostgres(settings.resolved_data_dir)
    await asyncio.to_thread(embedded.start)
    try:
        url = await embedded.ensure_database()
        await asyncio.to_thread(migrate, url)
        yield url
    finally:
        await asyncio.to_thread(embedded.stop)
