"""Runs migrations over asyncpg; an advisory lock allows one process at a time."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.persistence.connections.database import async_url
from app.persistence.connections.watchdog import connect
from app.persistence.models import Base
from migrations.contracting import CONTRACTING

_LOCK = 0x76756C747573  # "vultus"


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
    connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))
    connection.commit()
    try:
        with context.begin_transaction():
            context.run_migrations()
            _note_support(connection)
    finally:
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({_LOCK})"))
        connection.commit()


def _note_support(connection: Connection) -> None:
    """Note for servers of earlier versions whether they survive: with this migration or a later one as their newest."""
    applied = connection.scalar(text("SELECT version_num FROM alembic_version"))
    needed = max((one for one in CONTRACTING if applied is not None and one <= applied), default="")
    connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{needed}'"))
    connection.commit()


async def _connect_and_run() -> None:
    url = context.config.attributes.get("url") or os.environ["VULTUS_DATABASE_URL"]
    engine = create_async_engine(async_url(url), poolclass=NullPool, connect_args={"async_creator_fn": connect})
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


asyncio.run(_connect_and_run())
