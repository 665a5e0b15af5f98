"""Fixtures of all tests: a real PostgreSQL built by Alembic, the real engine on the synthetic pack, a real app."""

import gc
import os
import shutil
from pathlib import Path

# Before anything reads settings: a developer's environment must not leak into the tests.
REAL_PACK = os.environ.get("VULTUS_MODEL_PACK")
for name in [name for name in os.environ if name.startswith("VULTUS_")]:
    del os.environ[name]
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from collections.abc import AsyncIterator, Iterator

import fasteners
import numpy as np
import onnx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.faces import EMBEDDING_SIZE
from app.ml.analysis import FaceAnalyzer
from app.ml.synthetic.pack import write_synthetic_pack
from app.permissions import Permission, Plan
from app.persistence.connections.database import Database
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.persistence.repositories.tenants import PlanDirectory
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from tests.commands import Commands

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of every collection of garbage: there are millions of objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vultus")


@pytest.fixture(scope="session")
def synthetic_pack(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = data_dir / "models"
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Fitted by one worker, in the directory above all workers' own; the others would get the same.
        shared = tmp_path_factory.getbasetemp().parent / "models"
        with fasteners.InterProcessLock(shared.with_suffix(".lock")):
            made = write_synthetic_pack(shared)
        shutil.copytree(made, models / made.name)
    return write_synthetic_pack(models)


@pytest.fixture(scope="session")
def other_pack(synthetic_pack: Path, data_dir: Path) -> Path:
    """Another recognizer: as good as the first, and its embeddings say nothing to the first's."""
    pack = data_dir / "models" / "other"
    shutil.copytree(synthetic_pack, pack)
    network = onnx.load(str(pack / "rec_drawn.onnx"))
    (output,) = network.graph.output
    order = np.random.default_rng(1).permutation(EMBEDDING_SIZE)
    network.graph.initializer.append(onnx.numpy_helper.from_array(order, "order"))
    network.graph.node.append(onnx.helper.make_node("Gather", [output.name, "order"], ["reordered"], axis=1))
    output.name = "reordered"
    onnx.save(network, str(pack / "rec_drawn.onnx"))
    manifest = pack / "pack.json"
    manifest.write_text(manifest.read_text().replace('"synthetic"', '"other"'))
    return pack


@pytest.fixture(scope="session")
def postgres(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    # Nobody reads these databases after a crash of the machine: no commit needs to wait for the disk.
    server = EmbeddedPostgres(data_dir, settings={"fsync": "off", "full_page_writes": "off"})
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def database_url(postgres: EmbeddedPostgres) -> str:
    import asyncio

    url = await postgres.ensure_database("vultus_test")
    await asyncio.to_thread(migrate, url)
    database = Database(url, pool_size=1)
    async with database.transaction(as_operator=True) as session:
        # Plans have tests of their own; elsewhere they must not be in the way.
        generous = Plan("free", {permission.value: "100000/minute" for permission in Permission})
        await PlanDirectory(session).save(generous)
    await database.close()
    return url


@pytest.fixture(scope="session")
async def service_url(postgres: EmbeddedPostgres, database_url: str) -> str:
    """The service's own login, which row-level security binds."""
    return await postgres.ensure_service_login("vultus_test")


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    """A session whose every change is rolled back when the test ends.

    It runs as the superuser, without row-level security: what repositories keep apart, they keep apart themselves.
    """
    async with database.engine.connect() as connection:
        transaction = await connection.begin()
        async with AsyncSession(
            bind=connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
        ) as session:
            yield session
        await transaction.rollback()


@pytest.fixture(scope="session")
def settings(data_dir: Path, synthetic_pack: Path, service_url: str) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": data_dir,
            "model_pack": str(synthetic_pack),
            "database_url": service_url,
            "secret_key": "a secret for tests only, 32 bytes or more",
            "log_level": "warning",
            "max_image_bytes": 2 * 1024 * 1024,
            "max_image_pixels": 4_000_000,
            "max_request_bytes": 8 * 1024 * 1024,
            "public_rate": "100000/minute",
            "album_worker": False,  # the tests of albums start one
        }
    )


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    commands = Commands()
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def analyzer(settings: Settings) -> FaceAnalyzer:
    return build_analyzer(settings)
