"""`vultus index` as an operator sees it."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import uuid4

import asyncpg
import numpy as np
import pytest

from app.cli.graph_keeper import graph_keeper
from app.persistence.connections.database import Database
from app.persistence.provisioning.addresses import DatabaseAddresses
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.settings import Settings
from tests.cli.test_commands import Run, vultus  # noqa: F401 - a fixture
from tests.integration.conftest import Shelf, make_engine, random_embeddings


@pytest.fixture(scope="module")
def filled(postgres: EmbeddedPostgres) -> dict[str, str]:
    """A database with one collection of 150 faces; the settings that name it."""

    async def fill() -> dict[str, str]:
        name = f"index_test_{uuid4().hex[:8]}"  # the module may be set up again in one process
        operator = await postgres.ensure_database(name)
        await asyncio.to_thread(migrate, operator)
        service = await postgres.ensure_service_login(name)
        database, engine = Database(service), make_engine(service)
        shelf = await Shelf.make(database, engine)
        faces = random_embeddings(np.random.default_rng(0), 150)
        await shelf.put(*((f"s{index}", face) for index, face in enumerate(faces)))
        await engine.close()
        await database.close()
        return {"VULTUS_DATABASE_URL": service, "VULTUS_DATABASE_ADMIN_URL": operator}

    return asyncio.run(fill())


@pytest.fixture
def index(vultus: Run, filled: dict[str, str]) -> Callable[..., list[dict[str, str]]]:  # noqa: F811
    def run(*arguments: str, **more: str) -> list[dict[str, str]]:
        done = vultus("index", *arguments, "--json", **filled, **more)
        assert done.returncode == 0, done.stderr
        shown: list[dict[str, str]] = json.loads(done.stdout)
        return shown

    return run


def test_status_verify_and_rebuild(index: Callable[..., list[dict[str, str]]]) -> None:
    (row,) = index("status")
    assert (row["collection"], row["templates"], row["strategy"], row["graph"]) == ("default", "150", "exact", "none")
    assert [line["strategy"] for line in index("verify")] == ["cached_codes", "codes"]
    (row,) = index("rebuild", "--collection", "default")
    assert row["graph"] == "in use, recall 1.0000, 0 newer templates"
    small = {"VULTUS_SEARCH_EXACT_LIMIT": "100", "VULTUS_SEARCH_CACHE_MB": "0"}
    assert [line["strategy"] for line in index("status", **small)] == ["graph"]
    verified = index("verify", "--probes", "20", "--seed", "3")
    assert [line["strategy"] for line in verified] == ["cached_codes", "codes", "graph"]
    assert {line["recall"] for line in verified} == {"1.0000"}
    # A round of the keeper: nothing is so large that a graph is wanted.
    assert index("rebuild") == []
    assert [line["graph"] for line in index("status")] == ["none"]


def test_a_collection_that_is_not_there_is_an_error(vultus: Run, filled: dict[str, str]) -> None:  # noqa: F811
    for command in ("verify", "rebuild"):
        done = vultus("index", command, "--collection", "nowhere", **filled)
        assert done.returncode == 1
        assert "collection_not_found" in done.stderr


def test_the_services_own_login_may_not_see_every_tenant(vultus: Run, filled: dict[str, str]) -> None:  # noqa: F811
    done = vultus("index", "status", VULTUS_DATABASE_URL=filled["VULTUS_DATABASE_URL"])
    assert done.returncode == 1
    assert "set VULTUS_DATABASE_ADMIN_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_keeper_builds_graphs_while_the_server_runs(filled: dict[str, str], data_dir: Path) -> None:
    addresses = DatabaseAddresses(filled["VULTUS_DATABASE_URL"], filled["VULTUS_DATABASE_ADMIN_URL"])

    async def graphs() -> list[str | None]:
        connection = await asyncpg.connect(addresses.operator)
        rows = await connection.fetch("SELECT graph FROM galleries WHERE graph_trusted")
        await connection.close()
        return [row["graph"] for row in rows]

    def keep(graph_from: int) -> AbstractContextManager[None]:
        settings = Settings.model_validate({"data_dir": data_dir, "search_hnsw_from": graph_from, "search_cache_mb": 0})
        return graph_keeper(settings, addresses, pause_s=0.05)

    with keep(151):
        time.sleep(0.5)
    assert asyncio.run(graphs()) == []
    with keep(150):
        deadline = time.monotonic() + 60
        while not asyncio.run(graphs()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert "graph-keeper" not in {thread.name for thread in threading.enumerate()}
