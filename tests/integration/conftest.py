"""What the tests of searching share: a database of their own, for graphs are indexes, and shelves of embeddings."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import numpy as np
import pytest

from app.domain.decisions import Candidate
from app.domain.faces import BoundingBox, Embedding, Face, Quality
from app.matcher.engine import SearchEngine
from app.matcher.gallery_cache import GalleryCache
from app.matcher.search import Gallery
from app.matcher.strategy import SearchLimits, Strategy
from app.matcher.tenant_search import TenantSearch
from app.persistence.connections.database import Database, driver_address
from app.persistence.connections.snapshots import SnapshotPool
from app.persistence.connections.statements import StatementPool
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.graphs import GalleryRecord, GraphDirectory
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.persistence.repositories.tenants import TenantDirectory
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from tests.exact_search import ExactSearch, StoredTemplate

KEYRING = Keyring([b"a secret for tests only, 32 bytes or more"])
PROTECTOR = TemplateProtector(KEYRING)
FACE = Face(BoundingBox(0, 0, 90, 110), ((0.0, 0.0),) * 5, 0.9, Quality(90, 100, 120, 0, 0, 0))
LIMITS = SearchLimits(exact=50, cache_tail=40, graph_tail=80, deep=250)
"""Small enough for a test to pass from one strategy to the next."""


def random_embeddings(rng: np.random.Generator, count: int) -> list[Embedding]:
    vectors = rng.normal(size=(count, 512)).astype(np.float32)
    return list(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def near(embedding: Embedding, rng: np.random.Generator, cosine: float) -> Embedding:
    direction = rng.normal(size=512)
    direction -= (direction @ embedding) * embedding
    mixed = cosine * embedding + np.sqrt(1 - cosine**2) * direction / np.linalg.norm(direction)
    return np.asarray(mixed / np.linalg.norm(mixed), dtype=np.float32)


async def make_tenant(database: Database) -> tuple[UUID, UUID]:
    """A new tenant and its one collection, `default`."""
    tenant_id = uuid4()
    async with database.transaction(tenant_id) as session:
        await TenantDirectory(session).add(tenant_id, "tenant")
        await CollectionRepository(session, tenant_id).add("default")
        row = await CollectionRepository(session, tenant_id).find_row("default")
    assert row is not None
    return tenant_id, row.id


@dataclass
class Shelf:
    """A tenant with one collection, filled through the repositories, and its twin in memory."""

    database: Database
    engine: SearchEngine
    tenant_id: UUID
    collection_id: UUID
    stored: list[StoredTemplate] = field(default_factory=list)
    ids: dict[str, UUID] = field(default_factory=dict)

    @classmethod
    async def make(cls, database: Database, engine: SearchEngine) -> "Shelf":
        tenant_id, collection_id = await make_tenant(database)
        return cls(database, engine, tenant_id, collection_id)

    async def put(self, *pairs: tuple[str, Embedding], recognizer: str = "rec:1") -> None:
        """Each pair is a subject and one of its embeddings; all are stored in one transaction."""
        async with self.database.transaction(self.tenant_id) as session:
            for subject, embedding in pairs:
                subject_id = await SubjectRepository(session, self.tenant_id).upsert(
                    self.collection_id, subject, subject.upper(), None
                )
                self.ids[subject] = subject_id
                (template,) = await TemplateStore(session, self.tenant_id, PROTECTOR).add_all(
                    [NewFace.of(subject_id, FACE, {recognizer: embedding})],
                    collection_id=self.collection_id,
                    source="test",
                )
                half = np.asarray(embedding.astype(np.float16), dtype=np.float32)
                self.stored.append(
                    StoredTemplate(self.gallery(recognizer), subject_id, subject, subject.upper(), half, template.id)
                )

    async def erase(self, subject: str) -> None:
        async with self.database.transaction(self.tenant_id) as session:
            assert await SubjectRepository(session, self.tenant_id).delete(self.collection_id, subject)
        self.stored = [stored for stored in self.stored if stored.subject != subject]

    def gallery(self, recognizer: str = "rec:1") -> Gallery:
        return Gallery(self.collection_id, recognizer)

    @property
    def search(self) -> TenantSearch:
        return TenantSearch(self.engine, self.tenant_id)

    async def ranked(
        self, gallery: Gallery, probes: Sequence[Embedding], limit: int, *, using: Strategy | None = None
    ) -> list[list[Candidate]]:
        """What the database finds."""
        return (await self.search.identify_in_database(gallery, probes, limit, using=using)).ranked

    @property
    def oracle(self) -> ExactSearch:
        return ExactSearch(self.stored)

    async def load_cache(self, probe: Embedding) -> None:
        """A search that wants the cache makes it load."""
        await self.ranked(self.gallery(), [probe], 1, using=Strategy.CACHED_CODES)
        await self.engine.cache.wait_until_loaded()


@dataclass(frozen=True)
class SearchDatabase:
    """The addresses of a database of its own."""

    operator: str
    service: str


@pytest.fixture(scope="module")
async def search_database(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> SearchDatabase:
    """Of one file: who keeps all graphs of a database would otherwise build those of every other file's galleries."""
    name = request.module.__name__.rpartition(".")[2].replace("test", "search", 1)
    url = await postgres.ensure_database(name)
    await asyncio.to_thread(migrate, url)
    return SearchDatabase(url, await postgres.ensure_service_login(name))


@pytest.fixture(scope="module")
async def search_service(search_database: SearchDatabase) -> AsyncIterator[Database]:
    database = Database(search_database.service)
    yield database
    await database.close()


@pytest.fixture(scope="module")
async def graphs(search_database: SearchDatabase) -> AsyncIterator[GraphDirectory]:
    database = Database(search_database.operator, pool_size=2)
    yield GraphDirectory(database)
    await database.close()


@pytest.fixture
async def engine(search_database: SearchDatabase) -> AsyncIterator[SearchEngine]:
    engine = make_engine(search_database.service)
    yield engine
    await engine.close()


def make_engine(
    url: str, *, cache_bytes: int = 2**20, max_whole_templates: int = 0, behind_pgbouncer: bool = False
) -> SearchEngine:
    cache = GalleryCache(
        SnapshotPool(url, size=1, behind_pgbouncer=behind_pgbouncer),
        max_bytes=cache_bytes,
        max_whole_templates=max_whole_templates,
        reload_factor=0 if max_whole_templates else 20,
    )
    statements = StatementPool(driver_address(url), size=4, behind_pgbouncer=behind_pgbouncer)
    return SearchEngine(
        SnapshotPool(url, size=4, behind_pgbouncer=behind_pgbouncer), statements, cache, LIMITS, PROTECTOR
    )


@pytest.fixture
async def shelf(search_service: Database, engine: SearchEngine) -> Shelf:
    return await Shelf.make(search_service, engine)


async def record_of(graphs: GraphDirectory, shelf: Shelf) -> GalleryRecord:
    (record,) = [one for one in await graphs.list_galleries() if one.tenant_id == shelf.tenant_id]
    return record


def subjects(candidates: Sequence[object]) -> list[str]:
    return [candidate.subject for candidate in candidates]  # type: ignore[attr-defined]
