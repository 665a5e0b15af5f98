"""Pictures of people in videos: of the best face, encrypted, and erased with their faces."""

import io
from typing import Any

from PIL import Image
from sqlalchemy import text

from app.persistence.connections.database import Database
from tests.api.conftest import Account, Running, problem
from tests.api.test_album_pictures import count
from tests.api.test_albums import ALBUM, create
from tests.api.test_videos import ended, people, send
from tests.videos import Part, film

SCRIPT = [Part(1, 0, 3), Part(2, 1, 4, 480, 400)]


async def processed(account: Account, running: Running, external_id: str, **fields: Any) -> str:
    received = await send(account, film(SCRIPT, 4, per_second=4), external_id, **fields)
    assert received.status_code == 202, received.text
    video_id: str = received.json()["video_id"]
    async with running.state.album_worker.running():
        assert (await ended(account, video_id))["people"] == 2
    return video_id


async def test_a_picture_of_each_person_is_kept_and_erased(
    ada: Account, running: Running, database: Database, stranger: Account
) -> None:
    await create(ada, people=["default"])
    video_id = await processed(ada, running, "a.mp4", keep="crops")
    found = await people(ada, video_id)
    by_subject = {one["subject"] and one["subject"]["subject"]: one["face_id"] for one in found}
    for subject, face_id in by_subject.items():
        path = f"/albums/{ALBUM}/faces/{face_id}/picture"
        answer = await ada.client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(answer.content)).size == (160, 160)
        (face,) = (await ada.send("/recognize", answer.content)).json()["faces"]
        assert [one["subject"] for one in face["candidates"] if one["decision"] == "match"] == [subject] * bool(subject)
        assert problem(await stranger.client.get(path)) == "404 album_not_found"
    async with database.transaction(ada.tenant_id) as session:
        stored = (await session.scalars(text("SELECT picture FROM face_crops"))).all()
        steps = (await session.scalars(text("SELECT count(*) FROM appearances WHERE faces IS NOT NULL"))).all()
    assert (len(stored), steps) == (2, [0])
    assert not any(b"JFIF" in picture for picture in stored)
    erased = await ada.client.request("DELETE", f"/collections/{ALBUM}/faces", params={"image_id": video_id})
    assert erased.status_code == 200, erased.text
    assert await count(database, ada) == 0
    assert await people(ada, video_id) == []


async def test_a_video_keeps_what_its_album_keeps_unless_it_says_otherwise(
    ada: Account, running: Running, database: Database
) -> None:
    await create(ada, keep="crops")
    await processed(ada, running, "nothing.mp4", keep="nothing")
    assert await count(database, ada) == 0
    video_id = await processed(ada, running, "a.mp4")
    assert await count(database, ada) == 2
    assert (await ada.client.delete(f"/videos/{video_id}")).status_code == 204
    assert await count(database, ada) == 0
    await processed(ada, running, "b.mp4")
    assert await count(database, ada) == 2
    assert (await ada.client.delete(f"/albums/{ALBUM}")).status_code == 204
    assert await count(database, ada) == 0


async def test_only_what_is_kept_can_be_asked_for(ada: Account) -> None:
    await create(ada)
    assert problem(await send(ada, b"no video", keep="everything")) == "422 invalid_parameter"
