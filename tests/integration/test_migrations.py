"""The schema: migrations and models say the same, and can be run twice, back and by several processes."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, UniqueConstraint, make_url, text
from sqlalchemy.exc import DBAPIError

from app.persistence.connections.database import Database
from app.persistence.models import TENANT_TABLES, Base
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import _config, head_revision, migrate


async def test_migrations_match_the_models(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"include_name": lambda name, kind, _: kind != "table" or not name.startswith("pgqueuer")}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))

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


# Sign-in finds these before it knows the tenant; distributed by tenant, their tables would be reference tables.
FOUND_WITHOUT_TENANT = {
    ("users", "email"),
    ("api_keys", "public_id"),
    ("access_keys", "public_id"),
    ("account_links", "public_id"),
    ("album_links", "public_id"),
}


def test_every_tenant_table_has_tenant_id_first_in_every_key() -> None:
    """So that PostgreSQL can be distributed by tenant (Citus) without a rewrite."""
    without_id = {
        "tenants",
        "plans",
        "rate_counters",
        "login_attempts",
        "erasure_marks",
        "discarded_objects",
        "scheduled_work",
    }
    assert {table.__tablename__ for table in TENANT_TABLES} == set(Base.metadata.tables) - without_id
    for model in TENANT_TABLES:
        table = Base.metadata.tables[model.__tablename__]
        assert next(iter(table.primary_key.columns)).name == "tenant_id"
        for constraint in table.foreign_key_constraints:
            assert constraint.column_keys[0] == "tenant_id"
            (target,) = {element.column.table.name for element in constraint.elements}
            own = "id" if target == "tenants" else "tenant_id"
            assert own in {element.column.name for element in constraint.elements}
        for index in table.indexes:
            assert next(iter(index.columns)).name == "tenant_id", index.name
        for unique in (one for one in table.constraints if isinstance(one, UniqueConstraint)):
            first = next(iter(unique.columns)).name
            assert first == "tenant_id" or (table.name, first) in FOUND_WITHOUT_TENANT, unique.name


async def test_templates_stored_before_galleries_take_their_places(postgres: EmbeddedPostgres) -> None:
    """By an owner whom forced row-level security binds, as on a managed PostgreSQL."""
    name = "owner_of_old_templates"
    admin = await asyncpg.connect(await postgres.ensure_database("old_templates"))
    await admin.execute("CREATE EXTENSION IF NOT EXISTS vector")
    await asyncio.to_thread(migrate, await postgres.ensure_database("old_templates"), "0004")
    for table in [row[0] for row in await admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]:
        await admin.execute(f"DO $$ BEGIN CREATE ROLE {name} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        await admin.execute(f"ALTER TABLE {table} OWNER TO {name}")
    await admin.execute(f"GRANT ALL ON SCHEMA public TO {name}")
    await admin.execute(f"GRANT vultus_app, vultus_operator TO {name}")
    tenant, collection, subject = uuid4(), uuid4(), uuid4()
    await admin.execute("INSERT INTO tenants (id, name) VALUES ($1, 'old')", tenant)
    await admin.execute("INSERT INTO tenant_usage (tenant_id) VALUES ($1)", tenant)
    await admin.execute("INSERT INTO collections (tenant_id, id, name) VALUES ($1, $2, 'default')", tenant, collection)
    await admin.execute(
        "INSERT INTO subjects (tenant_id, id, collection_id, subject) VALUES ($1, $2, $3, 'ada')",
        tenant,
        subject,
        collection,
    )
    for day, recognizer in ((3, "rec:1"), (1, "rec:1"), (2, "rec:2")):
        await admin.execute(
            "INSERT INTO templates (tenant_id, id, collection_id, subject_id, recognizer, embedding, detection_score, "
            "quality, source, created_at) VALUES ($1, $2, $3, $4, $5, "
            "array_fill(0.1::real, ARRAY[512])::halfvec(512), 0.9, '{}', 'test', $6)",
            tenant,
            uuid4(),
            collection,
            subject,
            recognizer,
            datetime(2026, 1, day, tzinfo=UTC),
        )
    url = make_url(await postgres.ensure_database("old_templates")).set(username=name)
    await asyncio.to_thread(migrate, url.render_as_string(hide_password=False))
    placed = await admin.fetch(
        "SELECT g.recognizer, t.seq, extract(day FROM t.created_at)::int AS day, g.templates, g.last_seq "
        "FROM templates t JOIN galleries g ON g.id = t.gallery_id AND g.tenant_id = t.tenant_id ORDER BY 1, 2"
    )
    assert [tuple(row) for row in placed] == [("rec:1", 1, 1, 2, 2), ("rec:1", 2, 3, 2, 2), ("rec:2", 1, 2, 1, 1)]
    assert await admin.fetchval("SELECT count(*) FROM templates WHERE code::text = repeat('1', 512)") == 3
    # Which of two was searched nobody wrote down: it follows the server, as before.
    assert await admin.fetchval("SELECT recognizer FROM collections") is None
    one_face = "SELECT id FROM templates WHERE recognizer = 'rec:1' LIMIT 1"
    await admin.execute(f"UPDATE templates SET id = ({one_face}) WHERE recognizer = 'rec:2'")
    back = _config(url.render_as_string(hide_password=False))
    with pytest.raises(DBAPIError, match="faces stored with two recognizers"):
        await asyncio.to_thread(command.downgrade, back, "0014")
    await admin.execute("DELETE FROM templates WHERE recognizer = 'rec:2'")
    await asyncio.to_thread(command.downgrade, back, "0014")
    await asyncio.to_thread(migrate, url.render_as_string(hide_password=False))
    assert await admin.fetchval("SELECT recognizer FROM collections") == "rec:1"
    await admin.close()


async def test_the_extension_is_there(database: Database) -> None:
    async with database.transaction(as_operator=True) as session:
        version = await session.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
    assert version is not None


# `CREATE OR REPLACE FUNCTION` drops the setting: a migration that does so must set it again.
HOT_FUNCTIONS = {
    "vultus_add_events",
    "vultus_add_usage",
    "vultus_admit_user",
    "vultus_append_audit_entry",
    "vultus_append_with_events",
    "vultus_begin_registration",
    "vultus_count_request",
    "vultus_find_api_key",
    "vultus_find_collection",
    "vultus_find_user",
    "vultus_list_subjects",
    "vultus_name_candidates",
    "vultus_store_templates",
}


async def test_hot_functions_plan_their_statements_once(database: Database) -> None:
    async with database.transaction(as_operator=True) as session:
        planned_once = await session.scalars(
            text("SELECT proname FROM pg_proc WHERE 'plan_cache_mode=force_generic_plan' = ANY (proconfig)")
        )
    assert set(planned_once) == HOT_FUNCTIONS
