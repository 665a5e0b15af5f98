"""What `vultus migrate --plan` says: the pending migrations, and which of them contract the schema."""

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from app.errors import DatabaseNotReady
from app.persistence.connections.database import Database
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migration_plan import list_pending
from app.persistence.provisioning.migrations import head_revision, migrate
from migrations.contracting import CONTRACTING
from tests.commands import Commands

FORBIDDEN = re.compile(
    r"^\s*DROP TABLE|DROP COLUMN|\bRENAME\b|ALTER COLUMN \S+ (SET NOT NULL|TYPE|SET DATA TYPE)|DROP CONSTRAINT", re.I
)
CREATED = re.compile(r"^\s*CREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.I)
ADDED = re.compile(r"^\s*ALTER TABLE (\w+) ADD COLUMN (\w+) (.*)", re.I | re.S)
CONSTRAINED = re.compile(r"^\s*ALTER TABLE (\w+) ADD CONSTRAINT \w+ .*?\(([^)]*)\)", re.I | re.S)
UNIQUE = re.compile(r"^\s*CREATE UNIQUE INDEX \w+ ON (?:ONLY )?(\w+)[^(]*\(([^)]*)\)", re.I)
REVOKED = re.compile(r"^\s*REVOKE .* ON (?:TABLE )?(\w+) FROM", re.I)
DROPPED_FUNCTION = re.compile(r"^\s*DROP FUNCTION (?:IF EXISTS )?(\w+)\s*\(([^)]*)\)", re.I)
CREATED_FUNCTION = re.compile(r"^\s*CREATE (?:OR REPLACE )?FUNCTION (\w+)\s*\(([^)]*)\)", re.I)


def contracts(statements: Sequence[str]) -> list[str]:
    """The statements that may take something from servers of the version before.

    What the migration itself has created cannot be missed: new tables, and constraints on new columns only.
    """
    tables = {found[1] for one in statements if (found := CREATED.search(one))}
    columns = {(found[1], found[2]) for one in statements if (found := ADDED.search(one))}
    functions = {(found[1], _arity(found[2])) for one in statements if (found := CREATED_FUNCTION.search(one))}

    def is_new(table: str, names: str) -> bool:
        return table in tables or any((table, name.strip()) in columns for name in names.split(","))

    found_in = []
    for one in statements:
        if (added := ADDED.search(one)) and "NOT NULL" in added[3].upper() and "DEFAULT" not in added[3].upper():
            is_contracting = "GENERATED" not in added[3].upper()
        elif constrained := CONSTRAINED.search(one) or UNIQUE.search(one):
            is_contracting = not is_new(constrained[1], constrained[2])
        elif revoked := REVOKED.search(one):
            is_contracting = revoked[1].upper() != "FUNCTION" and revoked[1] not in tables
        elif dropped := DROPPED_FUNCTION.search(one):
            is_contracting = (dropped[1], _arity(dropped[2])) not in functions
        else:
            is_contracting = bool(FORBIDDEN.search(one)) and not CREATED_FUNCTION.search(one)
        if is_contracting:
            found_in.append(" ".join(one.split())[:200])
    return found_in


def _arity(parameters: str) -> int:
    return len([one for one in parameters.split(",") if one.strip()])


async def test_the_list_of_contracting_migrations_matches_their_statements(postgres: EmbeddedPostgres) -> None:
    url = await postgres.ensure_database("migration_plan")
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    found: dict[str, list[str]] = {}
    event.listen(Engine, "before_cursor_execute", note)
    try:
        for pending in list_pending(None):
            statements.clear()
            await asyncio.to_thread(migrate, url, pending.revision)
            contracting = contracts(statements)
            if contracting:
                found[pending.revision] = contracting
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert found.keys() == CONTRACTING.keys(), found


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE photos",
        "ALTER TABLE photos DROP COLUMN state",
        "ALTER TABLE photos RENAME TO pictures",
        "ALTER TABLE photos RENAME COLUMN state TO status",
        "ALTER TABLE photos ALTER COLUMN state SET NOT NULL",
        "ALTER TABLE photos ALTER COLUMN state TYPE INTEGER",
        "ALTER TABLE photos ADD COLUMN kind TEXT NOT NULL",
        "ALTER TABLE photos ADD CONSTRAINT uq UNIQUE (tenant_id, state)",
        "CREATE UNIQUE INDEX ix ON photos (state)",
        "REVOKE UPDATE ON photos FROM vultus_app",
        "DROP FUNCTION vultus_count_photos(uuid[], uuid[])",
    ],
)
def test_statements_that_contract_are_seen(statement: str) -> None:
    assert contracts([statement])


@pytest.mark.parametrize(
    "statements",
    [
        [
            "CREATE TABLE cards (id UUID)",
            "REVOKE UPDATE ON cards FROM vultus_app",
            "CREATE UNIQUE INDEX i ON cards (id)",
        ],
        ["ALTER TABLE photos ADD COLUMN kind TEXT"],
        ["ALTER TABLE photos ADD COLUMN kind TEXT DEFAULT 'a' NOT NULL"],
        ["ALTER TABLE photos ALTER COLUMN state DROP NOT NULL"],
        ["DROP FUNCTION f(uuid, text)", "CREATE FUNCTION f(tenant uuid, name text) RETURNS TABLE (a text, b text)"],
        ["CREATE INDEX ix ON photos (state)"],
    ],
)
def test_statements_that_expand_are_not(statements: list[str]) -> None:
    assert not contracts(statements)


def test_a_revision_of_a_newer_version_is_an_error() -> None:
    with pytest.raises(DatabaseNotReady, match="9999"):
        list_pending("9999")


async def test_the_command_shows_the_plan_and_changes_nothing(
    postgres: EmbeddedPostgres, commands: Commands, tmp_path: Path
) -> None:
    url = await postgres.ensure_database("planned")
    env = {"VULTUS_DATABASE_URL": url, "VULTUS_DATA_DIR": str(tmp_path)}

    async def run(*options: str) -> str:
        done = await asyncio.to_thread(commands.run, "migrate", "--plan", *options, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Stop the service before `vultus migrate`." in await run()
    await asyncio.to_thread(migrate, url, "0014")
    plan = json.loads(await run("--json"))
    assert [row["migration"] for row in plan] == [one.revision for one in list_pending("0014")]
    kinds = {row["migration"]: row["kind"] for row in plan}
    assert (kinds["0015"], kinds["0017"]) == ("contracts", "expands")
    assert (await run("-q")).splitlines()[0].startswith("0015\tcontracts\t")
    await asyncio.to_thread(migrate, url, "0034")
    assert "Every pending migration only expands" in await run()
    database = Database(url, pool_size=1)
    assert await database.revision() == "0034"
    await database.close()
    await asyncio.to_thread(migrate, url)
    assert await run() == f"The database is at migration {head_revision()}; nothing is pending.\n"
    assert json.loads(await run("--json")) == []


def test_without_a_database_none_is_created(commands: Commands, tmp_path: Path) -> None:
    done = commands.run("migrate", "--plan", env={"VULTUS_DATA_DIR": str(tmp_path / "data")})
    assert done.returncode == 0, done.stderr
    assert "0001" in done.stdout
    assert "The database is empty." in done.stdout
    assert not (tmp_path / "data").exists()
