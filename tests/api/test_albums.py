"""Albums: photos in, faces and states out; what is bad stays visible, and what is erased is gone everywhere."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests import pictures
from tests.api.conftest import Account, Running

ALBUM = "party"


@pytest.fixture
async def working(running: Running) -> AsyncIterator[None]:
    """A worker in this process."""
    async with running.state.album_worker.running():
        yield


async def create(account: Account, name: str = ALBUM, **fields: Any) -> dict[str, Any]:
    answer = await account.client.post("/albums", json={"id": name, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def put(account: Account, external_id: str, image: bytes, album: str = ALBUM) -> Any:
    files = {"image": ("a.jpg", image, "image/jpeg")}
    return await account.client.put(f"/albums/{album}/photos/{external_id}", files=files)


async def finished(account: Account, album: str = ALBUM) -> dict[str, Any]:
    """Wait until nothing waits; return the photos' counts."""
    deadline = time.monotonic() + 60
    while True:
        counts: dict[str, Any] = (await account.client.get(f"/albums/{album}")).json()["photos"]
        if not counts["received"] + counts["working"]:
            return counts
        assert time.monotonic() < deadline, counts
        await asyncio.sleep(0.05)


async def search(account: Account, *selfies: bytes, album: str = ALBUM, **fields: str) -> dict[str, Any]:
    files = [("images", (f"{index}.jpg", image)) for index, image in enumerate(selfies)]
    answer = await account.client.post(f"/albums/{album}/search", data=fields, files=files)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_everybodys_photos_are_found_by_a_selfie(admin: Account, working: None) -> None:
    await create(admin, expected=3)
    for name, image in (("1.jpg", pictures.group(1, 2)), ("2.jpg", pictures.group(2, 3)), ("3.jpg", pictures.photo(1))):
        answer = await put(admin, name, image)
        assert answer.status_code == 202, answer.text
        assert answer.json()["state"] == "received"
        assert answer.json()["is_new"]
    counts = await finished(admin)
    assert (counts["done"], counts["failed"], counts["faces"], counts["total"]) == (3, 0, 5, 3)
    found = await search(admin, pictures.photo(1, take=1), decision="match")
    assert sorted(item["external_id"] for item in found["items"]) == ["1.jpg", "3.jpg"]
    assert found["total"] == 2
    both = await search(admin, pictures.photo(1), pictures.photo(2), match="all", decision="match")
    assert [item["external_id"] for item in both["items"]] == ["1.jpg"]
    assert {face["person"] for face in both["items"][0]["faces"]} == {0, 1}
    either = await search(admin, pictures.photo(1), pictures.photo(2), match="any", decision="match")
    assert either["total"] == 3
    first = await search(admin, pictures.photo(1), pictures.photo(2), decision="match", limit="2")
    rest = await search(
        admin, pictures.photo(1), pictures.photo(2), decision="match", limit="2", cursor=first["next_cursor"]
    )
    assert [*first["items"], *rest["items"]] == either["items"]
    assert rest["next_cursor"] is None
    photo = (await admin.client.get(f"/albums/{ALBUM}/photos/1.jpg")).json()
    assert (photo["state"], photo["faces"], photo["code"]) == ("done", 2, None)
    assert (photo["width"], photo["height"]) == (510, 360)
