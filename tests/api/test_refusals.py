"""What a person refuses stays refused: through rotated templates, another recognizer, export and import.

`benchmarks/refusals.py` says it 1,000 times, with photographs.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from app.services.maintenance.model_migration import MigrationTarget, ModelMigration, SourcePhoto
from app.services.maintenance.template_rotation import TemplateRotation
from app.wiring.analyzer import build_analyzer
from tests import pictures
from tests.api.conftest import Account, Running
from tests.api.test_albums import ALBUM, create, finished, put
from tests.api.test_clusters import list_clusters, send, until_clustered
from tests.api.test_recognizers import here, names, two
from tests.api.test_sightings import decide, sightings, summary

__all__ = ["here", "names", "two"]

PEOPLE, KNOWN = (1, 2, 3, 4), (1, 2)
Look = Callable[[], Awaitable[None]]


class Review:
    """An album of four people, two of them known; all that the worker found is refused."""

    def __init__(self, account: Account, running: Running) -> None:
        self.account = account
        self.running = running
        self.photos = {"default": dict[str, bytes](), ALBUM: dict[str, bytes]()}
        self.rejected = set[tuple[str, str]]()
        self.apart = set[tuple[str, str]]()

    async def send_photos(self, take: int) -> None:
        for seed in PEOPLE:
            name = f"{seed}-{take}.jpg"
            self.photos[ALBUM][name] = pictures.photo(seed, take)
            await put(self.account, name, pictures.photo(seed, take))
        await finished(self.account)

    async def register(self, seed: int, take: int) -> None:
        self.photos["default"][f"{seed}-{take}.jpg"] = pictures.photo(seed, take)
        answer = await self.account.register(f"person-{seed}", pictures.photo(seed, take))
        assert answer.status_code == 201, answer.text

    async def refuse(self) -> None:
        await self._wait(lambda found: sum(one["state"] == "matched" for one in found.values()) == 6)
        matched = await sightings(self.account, state="matched")
        self.rejected = {(one["face_id"], one["subject"]["subject"]) for one in matched}
        await decide(self.account, *({"face_id": face, "verdict": "reject"} for face, _ in self.rejected))
        await self._wait(lambda found: all(one["cluster_id"] for one in found.values()))
        for cluster in await list_clusters(self.account):
            faces = [one["face_id"] for one in await sightings(self.account, cluster_id=cluster["cluster_id"])]
            await send(self.account, f"/clusters/{cluster['cluster_id']}/split", {"face_ids": faces[:1]})
            self.apart |= {(faces[0], face) for face in faces[1:]}
        assert (len(self.rejected), len(self.apart)) == (6, 8)

    async def check(self) -> None:
        """See whether all refusals hold, once the worker has had time to break them."""
        await until_clustered(self.account)
        await asyncio.sleep(1.5)
        await until_clustered(self.account)
        found = {one["face_id"]: one for one in await sightings(self.account)}
        subjects = {(face, one["subject"]["subject"]) for face, one in found.items() if one["subject"]}
        assert not subjects & self.rejected
        clusters = {face: one["cluster_id"] for face, one in found.items()}
        assert not [pair for pair in self.apart if None is not clusters[pair[0]] == clusters[pair[1]]]

    async def migrate(self, collection: str, recognizer: str) -> None:
        state = self.running.state
        target = MigrationTarget(self.account.tenant_id, collection, recognizer)
        analyzer = build_analyzer(state.settings)
        migration = ModelMigration(state.database, state.keyring, state.trails, analyzer, state.search, target)
        photos = [SourcePhoto(name, _reader(photo)) for name, photo in self.photos[collection].items()]
        await migration.run(await migration.begin(), photos, threads=2, advance=lambda *_: None)
        assert not migration.report.failures

    async def switch(self, collection: str, recognizer: str) -> None:
        body = {"in_use": recognizer, "secondary": None, "accept_missing": True}
        answer = await self.account.client.put(f"/collections/{collection}/recognizers", json=body)
        assert answer.status_code == 200, answer.text

    async def until_found(self, seed: int, *photos: str) -> None:
        """Wait until the worker has found a person in these photos."""
        await self._wait(
            lambda found: (
                set(photos)
                <= {
                    one["external_id"]
                    for one in found.values()
                    if one["subject"] is not None and one["subject"]["subject"] == f"person-{seed}"
                }
            )
        )

    async def _wait(self, is_so: Callable[[dict[str, Any]], bool]) -> None:
        deadline = time.monotonic() + 30
        while not is_so({one["face_id"]: one for one in await sightings(self.account)}):
            assert time.monotonic() < deadline, summary(await sightings(self.account))
            await asyncio.sleep(0.1)


def _reader(photo: bytes) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        return photo

    return read


@pytest.fixture
async def review(here: Account, two: Running) -> AsyncIterator[Review]:
    made = Review(here, two)
    await create(here, people=["default"])
    for seed in KNOWN:
        await made.register(seed, 0)
    async with two.state.album_worker.running():
        for take in (1, 2, 3):
            await made.send_photos(take)
        await made.refuse()
        await made.check()
        yield made


async def test_refusals_hold_when_templates_are_rotated(review: Review) -> None:
    state = review.running.state
    rotation = TemplateRotation(state.database, state.keyring, state.trails)
    assert await rotation.run(review.account.tenant_id) == 14
    await review.check()
    for seed in KNOWN:
        await review.register(seed, 4)
    await review.send_photos(5)
    await review.until_found(2, "2-5.jpg")
    await review.check()


async def test_refusals_hold_when_the_recognizer_changes(review: Review, names: tuple[str, str]) -> None:
    first, other = names
    for collection in ("default", ALBUM):
        await review.migrate(collection, other)
    await review.switch("default", other)
    await review.register(3, 0)  # the album's faces are still searched with the first
    await review.check()
    await review.switch(ALBUM, other)
    await review.until_found(3, "3-1.jpg", "3-2.jpg", "3-3.jpg")
    await review.check()
    for seed in KNOWN:
        await review.register(seed, 4)
    await review.send_photos(5)
    await review.until_found(2, "2-5.jpg")
    await review.check()
    for collection in ("default", ALBUM):
        answer = await review.account.client.delete(f"/collections/{collection}/recognizers/{first}")
        assert answer.status_code in {200, 204}, answer.text
    await review.check()


async def test_rejections_hold_when_people_are_exported_and_imported(review: Review) -> None:
    for seed in KNOWN:
        path = f"/collections/default/subjects/person-{seed}"
        document = (await review.account.client.get(f"{path}/export")).json()
        assert (await review.account.client.delete(path)).status_code == 200
        answer = await review.account.client.post("/subjects/import", json=document)
        assert answer.status_code == 201, answer.text
    await review.send_photos(5)
    await review.until_found(1, "1-5.jpg")
    await review.until_found(2, "2-5.jpg")
    await review.check()
    face, subject = min(review.rejected)
    await decide(review.account, {"face_id": face, "verdict": "reopen"})  # without a refusal it would come back
    (photo,) = {one["external_id"] for one in await sightings(review.account) if one["face_id"] == face}
    await review.until_found(int(subject[-1]), photo)
