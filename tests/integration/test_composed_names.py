"""The migration to composed names: nobody is lost, and who had the same id in two spellings is told apart."""

import asyncio
import unicodedata
from uuid import uuid4

import asyncpg

from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.security.passwords import _CONTEXT, PasswordHasher


async def test_old_names_are_composed_and_collisions_get_a_suffix(postgres: EmbeddedPostgres) -> None:
    url = await postgres.ensure_database("decomposed")
    await asyncio.to_thread(migrate, url, "0016")
    connection = await asyncpg.connect(url)
    tenant, collection = uuid4(), uuid4()
    await connection.execute("INSERT INTO tenants (id, name) VALUES ($1, 'old')", tenant)
    await connection.execute("INSERT INTO tenant_usage (tenant_id) VALUES ($1)", tenant)
    insert_collection = "INSERT INTO collections (tenant_id, id, name) VALUES ($1, $2, 'default')"
    await connection.execute(insert_collection, tenant, collection)
    alone, twice = (unicodedata.normalize("NFD", name) for name in ("Zoë", "José"))
    for subject in (alone, twice, "José", "ada"):
        await connection.execute(
            "INSERT INTO subjects (tenant_id, id, collection_id, subject, name, consent) "
            "VALUES ($1, $2, $3, $4, $4, $4)",
            tenant,
            uuid4(),
            collection,
            subject,
        )
    await asyncio.to_thread(migrate, url)
    rows = await connection.fetch('SELECT subject, name, consent FROM subjects ORDER BY subject COLLATE "C"')
    assert [row["subject"] for row in rows] == ["José", "José-nfd1", "Zoë", "ada"]
    assert [row["name"] for row in rows] == [row["consent"] for row in rows] == ["José", "José", "Zoë", "ada"]
    await connection.close()


async def test_a_password_hashed_as_it_was_typed_still_opens() -> None:
    typed = unicodedata.normalize("NFD", "ein schönes Passwort")
    hasher = PasswordHasher()
    assert await hasher.verify(typed, _CONTEXT.hash(typed))
    assert not await hasher.verify(typed + "x", _CONTEXT.hash(typed))
    hasher.close()
