"""Transactions, and what happens when PostgreSQL is not there."""

import pytest
from sqlalchemy import text

from app.errors import DatabaseNotReady, DatabaseUnavailable
from app.persistence.connections.database import Database, async_url


async def test_a_block_that_raises_leaves_nothing_behind(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.transaction(as_operator=True) as session:
            await session.execute(text("INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'half-written')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_and_fail()
    async with database.transaction(as_operator=True) as session:
        assert await session.scalar(text("SELECT count(*) FROM tenants WHERE name = 'half-written'")) == 0


async def test_an_unreachable_database_is_unavailable_not_a_crash() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable):
        await database.revision()
    await database.close()


async def test_a_transaction_takes_no_connection_before_its_first_query(database: Database) -> None:
    before = database.engine.pool.checkedout()  # type: ignore[attr-defined]
    async with database.transaction() as session:
        assert database.engine.pool.checkedout() == before  # type: ignore[attr-defined]
        await session.execute(text("SELECT 1"))
        assert database.engine.pool.checkedout() == before + 1  # type: ignore[attr-defined]


def test_libpq_addresses_are_understood() -> None:
    url = async_url("postgresql://u:p@db.example/vultus?sslmode=require")
    assert url.drivername == "postgresql+asyncpg"
    assert dict(url.query) == {"ssl": "require"}
    with pytest.raises(DatabaseNotReady):
        async_url("mysql://u:p@db.example/vultus")
