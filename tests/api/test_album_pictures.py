"""Pictures of faces that an album keeps: encrypted, exported, and erased with their faces."""

import base64
import io

import pytest
from PIL import Image
from sqlalchemy import text

from app.persistence.connections.database import Database
from tests import pictures
from tests.api.conftest import Account, Running, problem
from tests.api.test_albums import ALBUM, create, finished, put


@pytest.fixture
async def kept(admin: Account, running: Running) -> Account:
    await create(admin, keep="crops")
    await put(admin, "1.jpg", pictures.group(1, 2))
    async with running.state.album_worker.running():
        await finished(admin)
    return admin


async def face_ids(account: Account) -> list[str]:
    faces = (await account.client.get(f"/collections/{ALBUM}/faces")).json()["items"]
    return [face["face_id"] for face in faces]


async def count(database: Database, account: Account) -> int:
    async with database.transaction(account.tenant_id) as session:
        return await session.scalar(text("SELECT count(*) FROM face_crops")) or 0


async def test_a_kept_picture_shows_the_face(kept: Account, database: Database, stranger: Account) -> None:
    ids = await face_ids(kept)
    for face_id in ids:
        answer = await kept.client.get(f"/albums/{ALBUM}/faces/{face_id}/picture")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(answer.content)).size == (160, 160)
        found = (await kept.send("/recognize", answer.content, collection=ALBUM)).json()["faces"][0]["candidates"][0]
        assert (found["face_id"], found["decision"]) == (face_id, "match")
        assert problem(await stranger.client.get(f"/albums/{ALBUM}/faces/{face_id}/picture")) == "404 album_not_found"
    async with database.transaction(kept.tenant_id) as session:
        stored = (await session.scalars(text("SELECT picture FROM face_crops"))).all()
    assert len(stored) == 2
    assert not any(b"JFIF" in picture for picture in stored)


async def test_a_picture_is_exported_with_its_face(kept: Account) -> None:
    found = (await kept.send("/recognize", pictures.photo(1), collection=ALBUM)).json()["faces"][0]["candidates"][0]
    path = f"/collections/{ALBUM}/subjects/{found['subject']}"
    (face,) = (await kept.client.get(f"{path}/export")).json()["faces"]
    picture = await kept.client.get(f"/albums/{ALBUM}/faces/{found['face_id']}/picture")
    assert base64.b64decode(face["picture"]) == picture.content
    document = (await kept.client.get(f"{path}/export")).json() | {"subject": "ada", "collection": "default"}
    assert (await kept.client.post("/subjects/import", json=document)).status_code == 201


async def test_a_picture_goes_with_its_face(kept: Account, database: Database) -> None:
    found = (await kept.send("/recognize", pictures.photo(1), collection=ALBUM)).json()["faces"][0]["candidates"][0]
    assert (await kept.client.delete(f"/collections/{ALBUM}/subjects/{found['subject']}")).status_code == 200
    assert await count(database, kept) == 1
    gone = await kept.client.get(f"/albums/{ALBUM}/faces/{found['face_id']}/picture")
    assert problem(gone) == "404 face_not_found"
    assert (await kept.client.delete(f"/albums/{ALBUM}/photos/1.jpg")).status_code == 204
    assert await count(database, kept) == 0


async def test_an_erased_album_leaves_no_picture(kept: Account, database: Database) -> None:
    assert (await kept.client.delete(f"/albums/{ALBUM}")).status_code == 204
    assert await count(database, kept) == 0


async def test_other_albums_keep_nothing(admin: Account, running: Running, database: Database) -> None:
    await create(admin)
    await put(admin, "1.jpg", pictures.photo(1))
    async with running.state.album_worker.running():
        await finished(admin)
    assert await count(database, admin) == 0
