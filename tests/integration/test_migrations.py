"""The schema: migrations and models say the same, and can be run twice, back and by several processes."""

import asyncio

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from app.persistence.database import Database
from app.persistence.embedded import EmbeddedPostgres
from app.persistence.migration import _config, head_revision, migrate
from app.persistence.models import TENANT_TABLES, Base


async def test_migrations_match_the_models(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrating_up_down_and_up_again(postgres: EmbeddedPostgres) -> None:
    url = await postgres.ensure_database("migration_roundtrip")
    await asyncio.to_thread(migrate, url)
    await asyncio.to_thread(command.downgrade, _config(url), "base")
    await asyncio.to_thread(migrate, url)
    database = Database(url)
    assert await database.revision() == head_revision()
    await database.close()


async def test_an_empty_database_has_no_revision(postgres: EmbeddedPostgres) -> None:
    database = Database(await postgres.ensure_database("empty"))
    assert await database.revision() is None
    await database.close()


def test_every_tenant_table_has_tenant_id_first_in_every_key() -> None:
    """So that PostgreSQL can be distributed by tenant without a rewrite; one login per email is the known exception."""
    without_id = {"tenants", "plans", "rate_counters", "login_tries", "tenant_usage"}
    assert {table.__tablename__ for table in TENANT_TABLES} == set(Base.metadata.tables) - without_id
    for model in TENANT_TABLES:
        table = Base.metadata.tables[model.__tablename__]
        assert next(iter(table.primary_key.columns)).name == "tenant_id"
        for constraint in table.foreign_key_constraints:
            assert constraint.column_keys[0] == "tenant_id"
        for index in table.indexes:
            assert next(iter(index.columns)).name == "tenant_id", index.name


async def test_the_extension_is_there(database: Database) -> None:
    async with database.transaction(as_operator=True) as session:
        version = await session.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
    assert version is not None
