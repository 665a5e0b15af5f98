"""Search in PostgreSQL against the exact search in memory, and what it must never return."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import BoundingBox, Embedding, Face, Quality
from app.matcher.pgvector_search import _SEARCH, PgvectorSearch, _literal
from app.matcher.search import ExactSearch, Gallery, StoredTemplate
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository
from app.persistence.repositories.tenants import TenantDirectory

FACE = Face(BoundingBox(0, 0, 90, 110), ((0.0, 0.0),) * 5, 0.9, Quality(90, 100, 120, 0, 0, 0))
HALF_PRECISION = 2e-3


def random_embeddings(rng: np.random.Generator, count: int) -> list[Embedding]:
    vectors = rng.normal(size=(count, 512)).astype(np.float32)
    return list(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@dataclass
class Shelf:
    """A tenant with one collection, filled through the repositories, and its twin in memory."""

    session: AsyncSession
    tenant_id: UUID
    collection_id: UUID
    stored: list[StoredTemplate] = field(default_factory=list)
    ids: dict[str, UUID] = field(default_factory=dict)

    @classmethod
    async def make(cls, session: AsyncSession) -> "Shelf":
        tenant_id = uuid4()
        await TenantDirectory(session).add(tenant_id, "tenant")
        await CollectionRepository(session, tenant_id).add("default")
        row = await CollectionRepository(session, tenant_id).find_row("default")
        assert row is not None
        return cls(session, tenant_id, row.id)

    async def put(self, subject: str, embedding: Embedding, recognizer: str = "rec:1") -> None:
        subject_id = await SubjectRepository(self.session, self.tenant_id).ensure(
            self.collection_id, subject, subject.upper(), None
        )
        self.ids[subject] = subject_id
        await TemplateRepository(self.session, self.tenant_id).add(
            collection_id=self.collection_id, subject_id=subject_id, recognizer=recognizer,
            embedding=embedding, face=FACE, source="test",
        )  # fmt: skip
        gallery = Gallery(self.collection_id, recognizer, subject_id)
        self.stored.append(StoredTemplate(gallery, subject, subject.upper(), embedding))

    def gallery(self, recognizer: str = "rec:1", **more: Any) -> Gallery:
        return Gallery(self.collection_id, recognizer, **more)

    @property
    def search(self) -> PgvectorSearch:
        return PgvectorSearch(self.session, self.tenant_id)


@pytest.mark.parametrize("seed", range(5))
async def test_it_agrees_with_exact_search(session: AsyncSession, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shelf = await Shelf.make(session)
    for index, embedding in enumerate(random_embeddings(rng, 120)):
        await shelf.put(f"s{rng.integers(50):02d}", embedding, recognizer=f"rec:{index % 3}")
    # Probes near a stored face, and far from all.
    noise, probes = random_embeddings(rng, 6), [shelf.stored[int(i)].embedding for i in rng.integers(120, size=6)]
    mixed = [
        np.asarray(probe + weight * other, dtype=np.float32)
        for probe, other, weight in zip(probes, noise, (0, 0.3, 0.8, 1, 3, 9), strict=True)
    ]
    probes = [vector / np.float32(np.linalg.norm(vector)) for vector in mixed]
    for limit in (1, 7, 100):
        found = await shelf.search.search(shelf.gallery(), probes, limit)
        expected = await ExactSearch(shelf.stored).search(shelf.gallery(), probes, limit)
        for ours, exact in zip(found, expected, strict=True):
            assert len(ours) == len(exact)
            assert [c.similarity for c in ours] == pytest.approx([c.similarity for c in exact], abs=HALF_PRECISION)
            similarities = {c.subject: c.similarity for c in exact}
            # Where half precision cannot tell two subjects apart, their order may differ; nobody may be missing.
            assert all(
                similarities.get(c.subject, exact[-1].similarity) == pytest.approx(c.similarity, abs=HALF_PRECISION)
                for c in ours
            )


async def test_a_search_never_mixes_recognisers(session: AsyncSession) -> None:
    shelf = await Shelf.make(session)
    (embedding,) = random_embeddings(np.random.default_rng(0), 1)
    await shelf.put("old", embedding, recognizer="rec:old")
    assert await shelf.search.search(shelf.gallery("rec:new"), [embedding], 5) == [[]]
    (found,) = await shelf.search.search(shelf.gallery("rec:old"), [embedding], 5)
    assert found[0].similarity == pytest.approx(1, abs=1e-3)


async def test_another_tenants_templates_are_never_found(session: AsyncSession) -> None:
    shelf, other = await Shelf.make(session), await Shelf.make(session)
    (embedding,) = random_embeddings(np.random.default_rng(0), 1)
    await shelf.put("mine", embedding)
    # The other tenant asks with the right collection id: it must not help.
    stolen = PgvectorSearch(session, other.tenant_id)
    assert await stolen.search(shelf.gallery(), [embedding], 5) == [[]]


async def test_a_search_can_be_narrowed_to_one_subject(session: AsyncSession) -> None:
    shelf = await Shelf.make(session)
    one, two = random_embeddings(np.random.default_rng(0), 2)
    await shelf.put("one", one)
    await shelf.put("two", two)
    (found,) = await shelf.search.search(shelf.gallery(subject_id=shelf.ids["two"]), [one], 5)
    assert [candidate.subject for candidate in found] == ["two"]


async def test_ties_are_ranked_by_the_subjects_id(session: AsyncSession) -> None:
    shelf = await Shelf.make(session)
    (embedding,) = random_embeddings(np.random.default_rng(0), 1)
    for subject in ("b", "C", "a", "d"):
        await shelf.put(subject, embedding)
    (found,) = await shelf.search.search(shelf.gallery(), [embedding], 3)
    assert [candidate.subject for candidate in found] == ["C", "a", "b"]


async def test_a_probe_is_parsed_once_and_not_for_every_template(session: AsyncSession) -> None:
    """The text of an embedding takes 30 times as long to parse as to compare."""
    shelf = await Shelf.make(session)
    (embedding,) = random_embeddings(np.random.default_rng(0), 1)
    parameters = {
        "probes": [_literal(embedding)], "tenant_id": shelf.tenant_id, "collection_id": shelf.collection_id,
        "recognizer": "rec:1", "subject_id": None, "limit": 5,
    }  # fmt: skip
    plan = "\n".join(await session.scalars(text("EXPLAIN (VERBOSE) " + _SEARCH.text), parameters))
    comparing = [line for line in plan.splitlines() if "<=>" in line]
    assert comparing
    assert not any("::halfvec(512)" in line for line in comparing), plan


async def test_no_probes_no_query(session: AsyncSession) -> None:
    shelf = await Shelf.make(session)
    assert await shelf.search.search(shelf.gallery(), [], 5) == []
