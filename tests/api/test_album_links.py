"""Links for guests: a selfie finds the guest's photos, nothing else, and only as long as the link lives."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from tests import pictures
from tests.api.conftest import Account, Running, problem
from tests.api.test_albums import create, finished, put


@pytest.fixture
async def party(admin: Account, running: Running) -> Account:
    """`admin` with an album in which person 1 is in two of three photos."""
    await create(admin, title="Ada and Ben")
    for name, image in (("1.jpg", pictures.group(1, 2)), ("2.jpg", pictures.photo(1)), ("3.jpg", pictures.photo(3))):
        await put(admin, name, image)
    async with running.state.album_worker.running():
        await finished(admin)
    return admin


async def issue(account: Account, **fields: Any) -> dict[str, Any]:
    answer = await account.client.post("/albums/party/links", json=fields)
    assert answer.status_code == 201, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def ask(guest: httpx.AsyncClient, image: bytes = pictures.photo(1), **fields: str) -> httpx.Response:
    data = {"consent": "given", **fields}
    return await guest.post("/guest/search", data=data, files={"image": ("me.jpg", image)})


async def test_a_guest_finds_their_photos(party: Account, running: Running) -> None:
    issued = await issue(party, label="QR code")
    async with running.client(issued["token"]) as guest:
        album = (await guest.get("/guest/album")).json()
        assert (album["title"], album["consent_text"]) == ("Ada and Ben", issued["consent_text"])
        found = await ask(guest)
        assert found.status_code == 200, found.text
        assert sorted(item["external_id"] for item in found.json()["items"]) == ["1.jpg", "2.jpg"]
        page = (await ask(guest, limit="1")).json()
        rest = (await ask(guest, limit="1", cursor=page["next_cursor"])).json()
        assert [*page["items"], *rest["items"]] == found.json()["items"]
        assert (await ask(guest, pictures.photo(4))).json()["total"] == 0
        assert problem(await ask(guest, colour="blue")) == "422 invalid_parameter"
        as_json = await guest.post("/guest/search", json={"consent": "given", "image": "AAAA"})
        assert problem(as_json) == "422 image_unreadable"
    (link,) = (await party.client.get("/albums/party/links")).json()["items"]
    assert (link["link_id"], link["label"], link["searches"]) == (issued["link_id"], "QR code", 5)
    assert "token" not in link
    entries = (await party.client.get("/audit", params={"action": "album.searched_by_guest"})).json()["items"]
    assert len(entries) == 5
    assert entries[0]["actor"] == f"link:{issued['link_id']}"


async def test_a_guest_must_agree(party: Account, running: Running) -> None:
    issued = await issue(party)
    async with running.client(issued["token"]) as guest:
        fields: dict[str, str]
        for fields in ({"consent": "false"}, {"consent": ""}, {"consent": "true"}):
            answer = await ask(guest, pictures.photo(1), **fields)
            assert problem(answer) == "422 invalid_parameter"
            assert answer.json()["errors"][0]["field"] == "consent"
    (link,) = (await party.client.get("/albums/party/links")).json()["items"]
    assert link["searches"] == 0


async def test_a_guest_can_do_nothing_else(party: Account, running: Running) -> None:
    issued = await issue(party)
    async with running.client(issued["token"]) as guest:
        for path in ("/albums/party", "/collections", "/auth/me", "/collections/default/subjects"):
            assert (await guest.get(path)).status_code == 401
        files = {"image": ("a.jpg", pictures.photo(1))}
        assert (await guest.post("/recognize", files=files)).status_code == 401
    async with running.client(party.tokens["access_token"]) as user:
        assert problem(await user.get("/guest/album")) == "404 link_not_found"


async def test_a_link_ends(party: Account, running: Running, stranger: Account, database: Database) -> None:
    revoked, expired, other = [await issue(party) for _ in range(3)]
    assert problem(await stranger.client.delete(f"/albums/party/links/{revoked['link_id']}")) == "404 album_not_found"
    assert (await party.client.delete(f"/albums/party/links/{revoked['link_id']}")).status_code == 204
    async with database.transaction(party.tenant_id) as session:
        ended = text("UPDATE album_links SET expires_at = now() WHERE id = :id")
        await session.execute(ended, {"id": expired["link_id"]})
    secret = other["token"][:-1] + ("A" if other["token"][-1] != "A" else "B")
    for token in (revoked["token"], expired["token"], secret, "vl_nothing", other["token"][:-5]):
        async with running.client(token) as guest:
            assert problem(await guest.get("/guest/album")) == "404 link_not_found", token
            assert problem(await ask(guest)) == "404 link_not_found"
    async with running.client() as nobody:
        assert problem(await nobody.get("/guest/album")) == "401 not_authenticated"
    async with running.client(other["token"]) as guest:
        assert (await guest.get("/guest/album")).status_code == 200
        await party.client.delete("/albums/party")
        assert problem(await guest.get("/guest/album")) == "404 link_not_found"


async def test_a_link_has_a_rate_of_its_own(party: Account, running: Running) -> None:
    issued = await issue(party, rate="2/minute")
    async with running.client(issued["token"]) as guest:
        assert [(await ask(guest)).status_code for _ in range(3)] == [200, 200, 429]


async def test_what_a_link_may_say(party: Account) -> None:
    late = (datetime.now(UTC) + timedelta(days=3000)).isoformat()
    album = (await party.client.get("/albums/party")).json()
    assert (await issue(party, expires_at=late))["expires_at"] == album["expires_at"]
    for fields in (
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"rate": "often"},
        {"consent_text": ""},
        {"consent_text": "x" * 2001},
        {"label": "\u202e"},
        {"album": "other"},
    ):
        assert problem(await party.client.post("/albums/party/links", json=fields)) == "422 invalid_parameter"
    assert problem(await party.client.post("/albums/none/links", json={})) == "404 album_not_found"
