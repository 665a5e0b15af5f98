"""Searches right after a subject was renamed, merged or moved, by every strategy; and what the journal notes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.collections import Recognizers
from app.errors import InvalidParameter, RecognizerMismatch, SubjectExists, SubjectNotFound
from app.matcher.engine import SearchEngine
from app.matcher.search import Gallery
from app.matcher.strategy import Strategy
from app.persistence.connections.database import ERASED, Database
from app.persistence.erasure_journal import ErasedKind
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.graphs import GraphDirectory
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.protections import ProtectionRepository
from app.persistence.repositories.relocations import RelocatedFaces, RelocationRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateRepository, TemplateStore
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrails
from app.services.collections.lookup import CollectionLookup
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.people.consent import ConsentGate
from app.services.people.merging import MergeService
from app.services.people.moving import MoveService
from tests.integration.conftest import (
    FACE,
    KEYRING,
    PROTECTOR,
    SearchDatabase,
    Shelf,
    make_engine,
    near,
    random_embeddings,
    subjects,
)
from tests.integration.test_gallery_search import STRATEGIES, assert_same, build_graph

REC, OTHER = "rec:1", "rec:2"


def merging(session: AsyncSession, tenant_id: UUID) -> MergeService:
    subjects = SubjectRepository(session, tenant_id)
    return MergeService(
        CollectionLookup(CollectionRepository(session, tenant_id), RecognizerDirectory({REC: "test"})),
        subjects,
        CollectionFaceRepository(session, tenant_id),
        ConsentGate(subjects, PolicyRepository(session, tenant_id)),
        IdempotencyRecords(session, tenant_id),
        AuditTrails(KEYRING).open(session, tenant_id, "test"),
        may_delete=True,
    )


def moving(session: AsyncSession, tenant_id: UUID) -> MoveService:
    return MoveService(
        CollectionLookup(CollectionRepository(session, tenant_id), RecognizerDirectory({REC: "test"})),
        SubjectRepository(session, tenant_id),
        TemplateRepository(session, tenant_id),
        RelocationRepository(session, tenant_id, PROTECTOR),
        IdempotencyRecords(session, tenant_id),
        AuditTrails(KEYRING).open(session, tenant_id, "test"),
        may_delete=True,
    )


async def rename(shelf: Shelf, subject: str, new_id: str) -> None:
    async with shelf.database.transaction(shelf.tenant_id) as session:
        assert await SubjectRepository(session, shelf.tenant_id).rename(shelf.ids[subject], new_id)
    shelf.stored = [replace(one, subject=new_id) if one.subject == subject else one for one in shelf.stored]
    shelf.ids[new_id] = shelf.ids.pop(subject)


async def merge(shelf: Shelf, subject: str, into: str) -> None:
    async with shelf.database.transaction(shelf.tenant_id) as session:
        done = await merging(session, shelf.tenant_id).merge("default", subject, into)
    moved = [one for one in shelf.stored if one.subject == subject]
    assert done.faces == len(moved)
    shelf.stored = [one for one in shelf.stored if one.subject != subject]
    shelf.stored += [replace(one, subject_id=shelf.ids[into], subject=into, name=into.upper()) for one in moved]


async def move(shelf: Shelf, subject: str, other: Shelf) -> RelocatedFaces:
    async with shelf.database.transaction(shelf.tenant_id) as session:
        done = await moving(session, shelf.tenant_id).move("default", subject, "other")
    moved = [one for one in shelf.stored if one.subject == subject and one.gallery == shelf.gallery()]
    shelf.stored = [one for one in shelf.stored if one.subject != subject]
    other.stored += [replace(one, gallery=other.gallery()) for one in moved]
    return done.faces


async def add_other(shelf: Shelf) -> Shelf:
    """A second collection of the shelf's tenant."""
    async with shelf.database.transaction(shelf.tenant_id) as session:
        rows = CollectionRepository(session, shelf.tenant_id)
        await rows.add("other")
        row = await rows.find_row("other")
    assert row is not None
    return Shelf(shelf.database, shelf.engine, shelf.tenant_id, row.id)


async def fill(shelf: Shelf, rng: np.random.Generator) -> None:
    faces = random_embeddings(rng, 12)
    await shelf.put(*((f"p{number % 12}", near(faces[number % 12], rng, 0.8)) for number in range(60)))


async def check(shelf: Shelf, rng: np.random.Generator, strategy: Strategy) -> None:
    """The search agrees with the exact one, with everything that is stored as a probe."""
    probes = [one.embedding for one in shelf.stored[:20]] + random_embeddings(rng, 2)
    exact = await shelf.oracle.search(shelf.gallery(), probes, 20)
    for ours, expected in zip(await shelf.ranked(shelf.gallery(), probes, 20, using=strategy), exact, strict=True):
        assert_same(ours, expected)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_every_strategy_knows_it_at_once(shelf: Shelf, graphs: GraphDirectory, strategy: Strategy) -> None:
    rng = np.random.default_rng(20)
    await fill(shelf, rng)
    if strategy is Strategy.GRAPH:
        await build_graph(graphs, shelf)
    other = await add_other(shelf)
    await other.put(("q", near(shelf.stored[0].embedding, rng, 0.7)))
    for one in (shelf, other):
        if strategy is Strategy.CACHED_CODES:
            await one.load_cache(one.stored[0].embedding)
    await rename(shelf, "p0", "renamed")
    await check(shelf, rng, strategy)
    await merge(shelf, "p1", "p2")
    await check(shelf, rng, strategy)
    assert await move(shelf, "p3", other) == RelocatedFaces(5, 0, 0)
    await check(shelf, rng, strategy)
    if strategy is not Strategy.GRAPH:  # the other collection has none
        await check(other, rng, strategy)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        rows = CollectionRepository(session, shelf.tenant_id)
        assert [await rows.count_templates(one.collection_id) for one in (shelf, other)] == [55, 6]


@pytest.fixture
async def whole(search_service: Database, search_database: SearchDatabase) -> AsyncIterator[Shelf]:
    """A shelf whose galleries are cached whole."""
    engine: SearchEngine = make_engine(search_database.service, cache_bytes=2**28, max_whole_templates=400)
    yield await Shelf.make(search_service, engine)
    await engine.close()


async def test_a_gallery_in_memory_is_never_used_as_it_was(whole: Shelf) -> None:
    rng = np.random.default_rng(21)
    await fill(whole, rng)
    other = await add_other(whole)
    await other.put(("q", near(whole.stored[0].embedding, rng, 0.7)))

    async def search(shelf: Shelf, number: int) -> list[str] | None:
        found = await shelf.search.identify_in_memory(shelf.gallery(), [whole_before[number].embedding], 1)
        return subjects(found.ranked[0]) if found is not None else None

    async def load() -> None:
        for shelf in (whole, other):
            await shelf.ranked(shelf.gallery(), [whole_before[0].embedding], 1)
        await whole.engine.cache.wait_until_loaded()

    whole_before = list(whole.stored)
    await load()
    await rename(whole, "p0", "renamed")
    assert await search(whole, 0) == ["renamed"]
    await merge(whole, "p1", "p2")
    assert await search(whole, 1) is None
    await load()
    assert await search(whole, 1) == ["p2"]
    await move(whole, "p3", other)
    assert await search(whole, 3) is None
    assert await search(other, 3) is None
    await load()
    assert await search(whole, 3) != ["p3"]
    assert await search(other, 3) == ["p3"]


async def test_faces_are_protected_again_for_another_gallery(shelf: Shelf) -> None:
    rng = np.random.default_rng(22)
    await fill(shelf, rng)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        await ProtectionRepository(session, shelf.tenant_id).add(PROTECTOR.current_key_id)
    other = await add_other(shelf)
    await other.put(("q", random_embeddings(rng, 1)[0]))
    async with shelf.database.transaction(shelf.tenant_id) as session:
        before = await TemplateStore(session, shelf.tenant_id, PROTECTOR).export(shelf.ids["p3"])
    await move(shelf, "p3", other)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        after = await TemplateStore(session, shelf.tenant_id, PROTECTOR).export(shelf.ids["p3"])
    assert [one.id for one in after] == [one.id for one in before]
    assert [one.created_at for one in after] == [one.created_at for one in before]
    for one, twin in zip(after, before, strict=True):
        assert one.embedding == pytest.approx(twin.embedding, abs=1e-3)
    await check(other, rng, Strategy.EXACT)
    await check(shelf, rng, Strategy.EXACT)


async def test_templates_of_recognizers_that_the_other_collection_does_not_use_are_dropped(shelf: Shelf) -> None:
    one, two = random_embeddings(np.random.default_rng(23), 2)
    other = await add_other(shelf)
    await other.put(("q", two))
    async with shelf.database.transaction(shelf.tenant_id) as session:
        owner = await SubjectRepository(session, shelf.tenant_id).upsert(shelf.collection_id, "ada", None, None)
        store = TemplateStore(session, shelf.tenant_id, PROTECTOR)
        faces = [NewFace.of(owner, FACE, {REC: one, OTHER: two}), NewFace.of(owner, FACE, {OTHER: two})]
        await store.add_all(faces, collection_id=shelf.collection_id, source="test")
        rows = CollectionRepository(session, shelf.tenant_id)
        for collection, recognizer in ((shelf, OTHER), (other, REC)):
            await rows.bind_recognizer(collection.collection_id, recognizer)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        done = await moving(session, shelf.tenant_id).move("default", "ada", "other")
        noted = session.info[ERASED]
        assert await TemplateRepository(session, shelf.tenant_id).count(owner) == 1
    assert done.faces == RelocatedFaces(1, 2, 1)
    assert [(entry.kind, entry.id) for entry in noted] == [(ErasedKind.FACE, faces[1].id)]
    with pytest.raises(RecognizerMismatch, match="rec:2"):
        async with shelf.database.transaction(shelf.tenant_id) as session:
            await moving(session, shelf.tenant_id).move("other", "ada", "default")
    assert [len(found) for found in await other.ranked(Gallery(other.collection_id, REC), [one], 5)] == [2]


@dataclass
class Crowd:
    """People of two collections, `default` and `other`, who change at once, with templates of two recognizers."""

    shelf: Shelf
    collections: dict[str, UUID]
    rng: np.random.Generator
    stored: set[UUID] = field(default_factory=set)
    erased: set[UUID] = field(default_factory=set)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        async with self.shelf.database.transaction(self.shelf.tenant_id) as session:
            yield session

    async def record(self, session: AsyncSession, action: AuditAction) -> None:
        await AuditTrails(KEYRING).open(session, self.shelf.tenant_id, "test").record(action)

    async def register(self, collection: str, subject: str) -> None:
        made = dict(zip((REC, OTHER), random_embeddings(self.rng, 2), strict=True))
        collection_id, tenant_id = self.collections[collection], self.shelf.tenant_id
        async with self.transaction() as session:
            await CollectionRepository(session, tenant_id).find_row(collection, lock=True)
            owner = await SubjectRepository(session, tenant_id).upsert(collection_id, subject, None, None)
            face = NewFace.of(owner, FACE, made)
            store = TemplateStore(session, tenant_id, PROTECTOR)
            await store.add_all([face], collection_id=collection_id, source="test")
            await self.record(session, AuditAction.FACES_REGISTERED)
        self.stored.add(face.id)

    async def erase(self, collection: str, subject: str) -> None:
        async with self.transaction() as session:
            rows = SubjectRepository(session, self.shelf.tenant_id)
            row = await rows.find_row(self.collections[collection], subject, lock=True)
            if row is None:
                return
            faces = await TemplateRepository(session, self.shelf.tenant_id).list_page(row.id, None, 500)
            await rows.delete(self.collections[collection], subject)
            await self.record(session, AuditAction.SUBJECT_ERASED)
        self.erased.update(face.id for face in faces)

    async def change(self, number: int) -> None:
        here, there = ("default", "other") if number % 2 else ("other", "default")
        one, two = (f"p{index}" for index in self.rng.integers(0, 5, 2))
        with suppress(SubjectNotFound, SubjectExists, InvalidParameter):
            match number % 5:
                case 0:
                    await self.erase(here, one)
                case 1 | 2:
                    async with self.transaction() as session:
                        await merging(session, self.shelf.tenant_id).merge(here, one, two)
                case 3:
                    async with self.transaction() as session:
                        await moving(session, self.shelf.tenant_id).move(here, one, there)
                case _:
                    await self.register(here, two)

    async def list_faces(self) -> set[UUID]:
        """The stored faces, after comparing their number with the galleries' counters."""
        kept = set[UUID]()
        async with self.transaction() as session:
            rows = CollectionRepository(session, self.shelf.tenant_id)
            for collection_id in self.collections.values():
                faces = CollectionFaceRepository(session, self.shelf.tenant_id)
                listed = {one.face.id for one in await faces.list_page(collection_id, None, 500)}
                assert await rows.count_templates(collection_id) == len(listed)
                kept |= listed
        return kept


async def test_nothing_waits_in_a_circle_and_no_face_is_lost(shelf: Shelf) -> None:
    """Merges, moves, registrations and erasures of the same people at once; a deadlock would be an error."""
    collections = {"default": shelf.collection_id, "other": (await add_other(shelf)).collection_id}
    crowd = Crowd(shelf, collections, np.random.default_rng(25))
    async with crowd.transaction() as session:
        rows = CollectionRepository(session, shelf.tenant_id)
        for collection_id in collections.values():
            await rows.set_recognizers(collection_id, Recognizers(REC, OTHER))
    for start in range(0, 240, 8):
        await crowd.register("default" if start % 16 else "other", f"p{start % 5}")
        await asyncio.gather(*(crowd.change(number) for number in range(start, start + 8)))
    kept = await crowd.list_faces()
    assert kept == crowd.stored - crowd.erased
    assert kept
    assert crowd.erased


async def test_an_erasure_covers_what_older_backups_hold_elsewhere(shelf: Shelf) -> None:
    rng = np.random.default_rng(24)
    await fill(shelf, rng)
    await add_other(shelf)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        for subject in ("p1", "p2"):
            await merging(session, shelf.tenant_id).merge("default", subject, "p3")
        await moving(session, shelf.tenant_id).move("default", "p3", "other")
        await merging(session, shelf.tenant_id).merge("default", "p4", "p5")
    ids = {name: shelf.ids[name] for name in ("p1", "p2", "p3", "p4", "p5")}
    async with shelf.database.transaction(shelf.tenant_id) as session:
        await SubjectRepository(session, shelf.tenant_id).withdraw_consent(ids["p5"])
        assert {entry.id for entry in session.info[ERASED]} == {ids["p4"], ids["p5"]}
    async with shelf.database.transaction(shelf.tenant_id) as session:
        assert await SubjectRepository(session, shelf.tenant_id).delete(shelf.collection_id, "p5")
        kinds = {kind: {entry.id for entry in session.info[ERASED] if entry.kind is kind} for kind in ErasedKind}
    assert kinds[ErasedKind.SUBJECT] == {ids["p4"], ids["p5"]}
    assert len(kinds[ErasedKind.FACE]) == 5  # those of p4: they belong to it in an older backup
    async with shelf.database.transaction(shelf.tenant_id) as session:
        assert await CollectionRepository(session, shelf.tenant_id).delete("other")
        kinds = {kind: {entry.id for entry in session.info[ERASED] if entry.kind is kind} for kind in ErasedKind}
    assert kinds[ErasedKind.SUBJECT] == {ids["p1"], ids["p2"], ids["p3"]}
    assert len(kinds[ErasedKind.COLLECTION]) == 1
