"""Templates under a secret rotation of their tenant: stored, searched, exported, and given another."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from sqlalchemy import text

from app.domain.faces import Embedding
from app.matcher.engine import SearchEngine
from app.matcher.strategy import Strategy
from app.persistence.connections.database import Database
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from app.services.audit.trail import AuditTrails
from app.services.maintenance.template_rotation import TemplateRotation
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


@pytest.fixture
async def engine(search_database: SearchDatabase) -> AsyncIterator[SearchEngine]:
    engine = make_engine(search_database.service, cache_bytes=2**28, max_whole_templates=1_000)
    yield engine
    await engine.close()


async def stored(shelf: Shelf) -> list[Embedding]:
    async with shelf.database.transaction(shelf.tenant_id) as session:
        rows = await session.scalars(text("SELECT embedding::text FROM templates ORDER BY seq"))
        return [np.array([float(part) for part in row[1:-1].split(",")], dtype=np.float32) for row in rows]


async def found_by(shelf: Shelf, probe: Embedding) -> list[tuple[list[str], float]]:
    """What each way of searching finds: the best three, and how similar the best is."""
    ways = []
    for strategy in (None, Strategy.EXACT, Strategy.CODES, Strategy.CACHED_CODES):
        (candidates,) = await shelf.ranked(shelf.gallery(), [probe], 3, using=strategy)
        ways.append(candidates)
    await shelf.engine.cache.wait_until_loaded()
    whole = await shelf.search.identify_in_memory(shelf.gallery(), [probe], 3)
    ways.append(whole.ranked[0] if whole is not None else [])
    return [(subjects(own), own[0].similarity if own else 0.0) for own in ways]


async def test_what_is_stored_is_not_what_the_recognizer_made_and_is_found_all_the_same(shelf: Shelf) -> None:
    rng = np.random.default_rng(0)
    faces = random_embeddings(rng, 80)
    await shelf.put(*((f"p{index}", face) for index, face in enumerate(faces)))
    held = await stored(shelf)
    assert max(abs(float(one @ face)) for one, face in zip(held, faces, strict=True)) < 0.3
    probe = near(faces[7], rng, 0.7)
    (expected,) = await shelf.oracle.search(shelf.gallery(), [probe], 3)
    for names, similarity in await found_by(shelf, probe):
        assert names == subjects(expected)
        assert similarity == pytest.approx(expected[0].similarity, abs=5e-4)
    compared = await shelf.search.compare(shelf.gallery(), shelf.ids["p7"], probe)
    assert compared is not None
    assert compared.candidate.similarity == pytest.approx(expected[0].similarity, abs=5e-4)


async def test_a_rotation_makes_other_templates_of_the_same_faces(shelf: Shelf) -> None:
    rng = np.random.default_rng(1)
    faces = random_embeddings(rng, 80)
    await shelf.put(*((f"p{index}", face) for index, face in enumerate(faces)))
    probe = near(faces[7], rng, 0.7)
    before, old = await found_by(shelf, probe), await stored(shelf)
    assert await TemplateRotation(shelf.database, KEYRING, AuditTrails(KEYRING)).run(shelf.tenant_id) == 80
    new = await stored(shelf)
    assert max(abs(float(one @ other)) for one, other in zip(old, new, strict=True)) < 0.3
    after = await found_by(shelf, probe)
    await shelf.engine.cache.wait_until_loaded()
    after = await found_by(shelf, probe)
    assert [names for names, _ in after] == [names for names, _ in before]
    assert [value for _, value in after] == pytest.approx([value for _, value in before], abs=5e-4)
    await shelf.put(("new", near(faces[7], rng, 0.95)))
    (candidates,) = await shelf.ranked(shelf.gallery(), [faces[7]], 2)
    assert subjects(candidates) == ["p7", "new"]


async def test_templates_from_before_there_was_a_protection_are_found_and_can_be_given_one(
    shelf: Shelf, search_database: SearchDatabase
) -> None:
    rng = np.random.default_rng(2)
    faces = random_embeddings(rng, 20)
    await shelf.put(*((f"p{index}", face) for index, face in enumerate(faces)))
    owner = Database(search_database.operator, pool_size=1)
    raw = {f"s{index}": "[" + ",".join(f"{value:.6g}" for value in face) + "]" for index, face in enumerate(faces)}
    async with owner.transaction(shelf.tenant_id) as session:  # as an older version stored them
        for place, literal in enumerate(raw.values(), start=1):
            await session.execute(
                text("UPDATE templates SET embedding = CAST(:e AS halfvec) WHERE tenant_id = :t AND seq = :s"),
                {"e": literal, "t": shelf.tenant_id, "s": place},
            )
        await session.execute(text("UPDATE galleries SET generation = 0 WHERE tenant_id = :t"), {"t": shelf.tenant_id})
    await owner.close()
    for _ in range(2):
        (candidates,) = await shelf.ranked(shelf.gallery(), [faces[3]], 1)
        assert subjects(candidates) == ["p3"]
        await TemplateRotation(shelf.database, KEYRING, AuditTrails(KEYRING)).run(shelf.tenant_id)
    assert max(abs(float(one @ face)) for one, face in zip(await stored(shelf), faces, strict=True)) < 0.3


async def test_registrations_and_searches_go_on_during_a_rotation(shelf: Shelf) -> None:
    rng = np.random.default_rng(3)
    faces = random_embeddings(rng, 60)
    await shelf.put(*((f"p{index}", face) for index, face in enumerate(faces[:30])))
    done = asyncio.Event()

    async def register() -> None:
        for index, face in enumerate(faces[30:], start=30):
            await shelf.put((f"p{index}", face))

    async def search() -> None:
        while not done.is_set():
            index = int(rng.integers(0, 30))
            (candidates,) = await shelf.ranked(shelf.gallery(), [faces[index]], 1)
            assert subjects(candidates) == [f"p{index}"]
            cached = await shelf.search.identify_in_memory(shelf.gallery(), [faces[index]], 1)
            assert cached is None or subjects(cached.ranked[0]) == [f"p{index}"]

    async def turn() -> None:
        for _ in range(3):
            await TemplateRotation(shelf.database, KEYRING, AuditTrails(KEYRING)).run(shelf.tenant_id)

    searching = asyncio.create_task(search())
    await asyncio.gather(register(), turn())
    done.set()
    await searching
    for index, face in enumerate(faces):
        (candidates,) = await shelf.ranked(shelf.gallery(), [face], 1)
        assert subjects(candidates) == [f"p{index}"]
        assert candidates[0].similarity > 0.999


async def test_after_a_new_secret_a_rotation_makes_the_old_one_worthless(shelf: Shelf) -> None:
    rng = np.random.default_rng(4)
    (face,) = random_embeddings(rng, 1)
    await shelf.put(("p", face))
    both = Keyring([b"a new secret, of thirty-two bytes or more", b"a secret for tests only, 32 bytes or more"])
    await TemplateRotation(shelf.database, both, AuditTrails(both)).run(shelf.tenant_id)
    new_only = TemplateProtector(Keyring([b"a new secret, of thirty-two bytes or more"]))
    async with shelf.database.transaction(shelf.tenant_id) as session:
        (exported,) = await TemplateStore(session, shelf.tenant_id, new_only).export(shelf.ids["p"])
    assert float(exported.embedding @ face) > 0.999
    from app.errors import NotReady

    async with shelf.database.transaction(shelf.tenant_id) as session:
        with pytest.raises(NotReady, match="VULTUS_PREVIOUS_SECRET_KEYS"):
            await TemplateStore(session, shelf.tenant_id, PROTECTOR).export(shelf.ids["p"])


async def test_a_registration_under_way_keeps_its_salt_and_is_turned(shelf: Shelf) -> None:
    """Into a collection that has no gallery yet, begun before the rotation and committed after it began."""
    (face,) = random_embeddings(np.random.default_rng(5), 1)
    await shelf.put(("before", face), recognizer="rec:2")  # so that there is a salt
    async with shelf.database.transaction(shelf.tenant_id) as session:
        subject_id = await SubjectRepository(session, shelf.tenant_id).upsert(shelf.collection_id, "p", None, None)
        await TemplateStore(session, shelf.tenant_id, PROTECTOR).add_all(
            [NewFace.of(subject_id, FACE, {"rec:1": face})], collection_id=shelf.collection_id, source="test"
        )
        rotation = asyncio.create_task(
            TemplateRotation(shelf.database, KEYRING, AuditTrails(KEYRING)).run(shelf.tenant_id)
        )
        await asyncio.sleep(0.2)
        assert not rotation.done()
    assert await rotation == 2
    (candidates,) = await shelf.ranked(shelf.gallery(), [face], 1)
    assert subjects(candidates) == ["p"]
    assert candidates[0].similarity > 0.999
