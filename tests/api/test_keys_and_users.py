"""Programs with keys, users with roles: issued, limited, rotated, revoked."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.permissions import Role, Scope
from app.persistence.connections.database import Database
from app.security.access_keys import decrypt_secret
from app.settings import Settings
from tests import pictures
from tests.api.conftest import PASSWORD, Account, Running, WithRole, problem, sign_in, start


async def issue(admin: Account, running: Running, *scopes: str, **more: object) -> tuple[dict[str, Any], Account]:
    """A new key's record, and a program that uses it."""
    body = {"name": f"key {uuid4().hex[:6]}", "scopes": list(scopes), **more}
    answer = await admin.client.post("/keys", json=body)
    assert answer.status_code == 201, answer.text
    record = answer.json()
    return record, Account(running.client(record["key"]), admin.tenant_id, "", {})


async def test_a_key_is_taken_as_bearer_token_and_as_header(ada: Account, running: Running) -> None:
    record, program = await issue(ada, running, "recognize")
    assert record["key"].startswith("vk_")
    assert (await program.send("/recognize", pictures.photo(1))).status_code == 200
    async with running.client() as client:
        files = {"image": ("a.jpg", pictures.photo(1), "image/jpeg")}
        answer = await client.post("/recognize", files=files, headers={"x-api-key": record["key"]})
        assert answer.status_code == 200
        me = (await client.get("/auth/me", headers={"x-api-key": record["key"]})).json()
    assert me["key_id"] == record["key_id"]
    assert me["user_id"] is None
    assert me["permissions"] == ["recognize"]


async def test_a_keys_text_is_shown_once_and_stored_as_a_hash(
    admin: Account, running: Running, database: Database
) -> None:
    record, _ = await issue(admin, running, "recognize")
    listed = (await admin.client.get("/keys")).json()["items"]
    assert "key" not in listed[0]
    assert "key" not in (await admin.client.get(f"/keys/{record['key_id']}")).json()
    secret = record["key"].split("_", 2)[2]
    async with database.transaction(as_operator=True) as session:
        for row in await session.scalars(text("SELECT api_keys::text FROM api_keys")):
            assert secret not in row
            assert secret.encode().hex() not in row


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_scope_opens_its_routes_and_no_others(ada: Account, running: Running, scope: Scope) -> None:
    _, program = await issue(ada, running, scope.value)
    photo = pictures.photo(1)
    allowed = {
        "recognize": (await program.send("/recognize", photo)).status_code,
        "register": (await program.register("bob", pictures.photo(2))).status_code,
        "embeddings:read": (await program.send("/extract", photo)).status_code,
        "delete": (await program.client.delete("/collections/default/subjects/nobody")).status_code,
        "admin": (await program.client.get("/users")).status_code,
    }
    assert allowed.pop(scope.value) in (200, 201, 404)
    assert set(allowed.values()) == {403}


async def test_a_refusal_names_the_scope_or_the_role_that_is_missing(
    ada: Account, running: Running, with_role: WithRole
) -> None:
    _, program = await issue(ada, running, "recognize")
    viewer = await with_role(Role.VIEWER)
    photo = pictures.photo(1)
    for caller, answer, needed in (
        ("key", await program.register("bob", photo), "scope 'register'"),
        ("key", await program.send("/extract", photo), "scope 'embeddings:read'"),
        ("key", await program.client.get("/users"), "scope 'admin'"),
        ("key", await program.client.get("/collections"), "scope 'register' or 'delete' or 'admin'"),
        ("role 'viewer'", await viewer.register("bob", photo), "role 'operator' or 'admin'"),
        ("role 'viewer'", await viewer.client.get("/users"), "role 'admin'"),
    ):
        assert problem(answer) == "403 permission_denied"
        detail = answer.json()["detail"]
        assert detail.startswith(f"Your {caller} does not have the permission ")
        assert f"It needs the {needed};" in detail
        assert ("role" in answer.text) == (caller != "key")


async def test_a_limited_key_sees_its_collections_only(ada: Account, running: Running) -> None:
    await ada.client.post("/collections", json={"name": "lobby"})
    scopes = ("register", "recognize", "delete")
    _, program = await issue(ada, running, *scopes, collections=["lobby"])
    assert [item["name"] for item in (await program.client.get("/collections")).json()["items"]] == ["lobby"]
    for method, path in [
        ("GET", "/collections/default"),
        ("DELETE", "/collections/default"),
        ("GET", "/collections/default/subjects"),
        ("GET", "/collections/default/subjects/ada"),
        ("DELETE", "/collections/default/subjects/ada"),
    ]:
        assert problem(await program.client.request(method, path)) == "404 collection_not_found"
    assert problem(await program.send("/recognize", pictures.photo(1))) == "404 collection_not_found"
    assert problem(await program.register("eve", pictures.photo(2))) == "404 collection_not_found"
    assert problem(await program.client.post("/collections", json={"name": "more"})) == "403 permission_denied"
    assert (await program.register("eve", pictures.photo(2), collection="lobby")).status_code == 201
    assert (await ada.client.get("/collections/default/subjects/ada")).status_code == 200


async def test_a_revoked_or_expired_key_is_worthless_at_once(
    admin: Account, running: Running, database: Database
) -> None:
    record, program = await issue(admin, running, "recognize")
    assert (await program.client.get("/auth/me")).status_code == 200
    assert (await admin.client.delete(f"/keys/{record['key_id']}")).status_code == 204
    assert problem(await program.client.get("/auth/me")) == "401 token_revoked"
    assert problem(await admin.client.delete(f"/keys/{record['key_id']}")) == "404 key_not_found"

    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    record, program = await issue(admin, running, "recognize", expires_at=soon)
    assert (await program.client.get("/auth/me")).status_code == 200
    async with database.transaction(as_operator=True) as session:
        expire = text("UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = :id")
        await session.execute(expire, {"id": record["key_id"]})
    assert problem(await program.client.get("/auth/me")) == "401 token_expired"
    # Whoever does not know the secret learns nothing of that.
    guessed = record["key"][:-4] + "AAAA"
    async with running.client(guessed) as client:
        assert problem(await client.get("/auth/me")) == "401 token_invalid"


async def test_two_keys_of_one_name_live_to_rotate_and_a_third_is_refused(admin: Account, running: Running) -> None:
    record, old = await issue(admin, running, "recognize", name="scanner")
    rotated = await admin.client.post(f"/keys/{record['key_id']}/rotate")
    assert rotated.status_code == 201
    assert rotated.json()["scopes"] == ["recognize"]
    async with running.client(rotated.json()["key"]) as new:
        assert (await new.get("/auth/me")).status_code == (await old.client.get("/auth/me")).status_code == 200
        assert problem(await admin.client.post(f"/keys/{record['key_id']}/rotate")) == "409 too_many_keys"
        await admin.client.delete(f"/keys/{record['key_id']}")
        assert (await new.get("/auth/me")).status_code == 200


async def test_two_keys_of_one_name_live_also_when_ten_are_asked_for_at_once(admin: Account) -> None:
    body = {"name": "scanner", "scopes": ["recognize"]}
    answers = await asyncio.gather(*(admin.client.post("/keys", json=body) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [409] * 8


async def test_an_api_key_outlives_the_secret_it_was_issued_under(
    admin: Account, settings: Settings, running: Running
) -> None:
    record, program = await issue(admin, running, "recognize")
    old, new = settings.signing_keys()[0].decode(), "a newer secret, thirty-two bytes or more"
    both = settings.model_copy(update={"secret_key": SecretStr(new), "previous_secret_keys": [SecretStr(old)]})
    alone = settings.model_copy(update={"secret_key": SecretStr(new)})
    for rolled in (both, alone):  # used once while both are known, it is carried over
        async with AsyncExitStack() as stack:
            later = await start(rolled, stack)
            async with later.client(record["key"]) as client:
                assert (await client.get("/auth/me")).status_code == 200
    assert problem(await program.client.get("/auth/me")) == "401 token_invalid"


async def test_nobody_issues_more_than_they_may_themselves(admin: Account, running: Running) -> None:
    _, program = await issue(admin, running, "admin")
    for scopes in (["delete"], ["admin", "embeddings:read"]):
        answer = await program.client.post("/keys", json={"name": "more", "scopes": scopes})
        assert problem(answer) == "403 permission_denied"
    assert (await program.client.post("/keys", json={"name": "same", "scopes": ["admin"]})).status_code == 201


async def test_a_key_that_manages_makes_nobody_mightier_than_itself(admin: Account, running: Running) -> None:
    _, manager = await issue(admin, running, "admin")
    email = f"{uuid4().hex}@example.com"
    for role in Role:
        answer = await manager.client.post("/users", json={"email": email, "password": PASSWORD, "role": role.value})
        assert problem(answer) == "403 permission_denied"
    _, manager = await issue(admin, running, *(scope.value for scope in Scope))
    answer = await manager.client.post("/users", json={"email": email, "password": PASSWORD, "role": "admin"})
    assert answer.status_code == 201
    body = {"name": "limited", "scopes": ["admin"], "collections": ["default"]}
    assert problem(await admin.client.post("/keys", json=body)) == "422 invalid_parameter"


async def test_a_key_that_is_used_says_when(admin: Account, running: Running) -> None:
    record, program = await issue(admin, running, "recognize")
    assert record["last_used_at"] is None
    await program.client.get("/auth/me")
    assert (await admin.client.get(f"/keys/{record['key_id']}")).json()["last_used_at"] is not None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"collections": []}, "collections"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
        ({"expires_at": "2027-01-01"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": ""}, "name"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_a_bad_key_request_names_the_field(admin: Account, change: dict[str, object], field: str) -> None:
    body = {"name": "key", "scopes": ["recognize"], **change}
    answer = await admin.client.post("/keys", json=body)
    assert problem(answer) == "422 invalid_parameter"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_an_access_key_pair_is_encrypted_under_the_service_key(
    admin: Account, running: Running, database: Database
) -> None:
    body = {"scopes": ["register", "recognize"]}
    pair = (await admin.client.post("/access-keys", json=body)).json()
    async with database.transaction(admin.tenant_id) as session:
        select = text("SELECT key_id, secret_encrypted FROM access_keys WHERE public_id = :id")
        key_id, encrypted = (await session.execute(select, {"id": pair["access_key_id"]})).one()
    key = running.state.keyring.find("access-keys", key_id)
    assert key is not None
    assert decrypt_secret(key, pair["access_key_id"], encrypted) == pair["secret_access_key"]
    (listed,) = (await admin.client.get("/access-keys")).json()["items"]
    assert pair["secret_access_key"] not in str(listed)
    assert (await admin.client.delete(f"/access-keys/{pair['key_id']}")).status_code == 204
    assert (await admin.client.get("/access-keys")).json()["items"] == []


async def test_a_users_life(admin: Account, running: Running) -> None:
    email = f"{uuid4().hex}@example.com"
    added = await admin.client.post("/users", json={"email": email, "password": PASSWORD, "role": "viewer"})
    assert added.status_code == 201
    user_id = added.json()["user_id"]
    again = await admin.client.post("/users", json={"email": email, "password": PASSWORD})
    assert problem(again) == "409 email_taken"
    async with running.client() as client:
        tokens = await sign_in(client, email)
    async with running.client(tokens["access_token"]) as user:
        assert problem(await user.get("/users")) == "403 permission_denied"
        assert (await admin.client.patch(f"/users/{user_id}", json={"role": "admin"})).status_code == 200
        assert (await user.get("/users")).status_code == 200  # from the next request on
        assert (await admin.client.delete(f"/users/{user_id}")).status_code == 204
        assert problem(await user.get("/users")) == "401 token_revoked"
    assert problem(await admin.client.get(f"/users/{user_id}")) == "404 user_not_found"


async def test_one_admin_always_stays(admin: Account) -> None:
    me = (await admin.client.get("/auth/me")).json()["user_id"]
    assert problem(await admin.client.patch(f"/users/{me}", json={"role": "viewer"})) == "409 last_admin"
    assert problem(await admin.client.delete(f"/users/{me}")) == "409 last_admin"


async def test_two_admins_who_demote_each_other_at_once_leave_one(admin: Account, with_role: WithRole) -> None:
    other = await with_role(Role.ADMIN)
    mine, theirs = [(await one.client.get("/auth/me")).json()["user_id"] for one in (admin, other)]
    answers = await asyncio.gather(
        admin.client.patch(f"/users/{theirs}", json={"role": "viewer"}),
        other.client.patch(f"/users/{mine}", json={"role": "viewer"}),
    )
    assert sorted(answer.status_code for answer in answers) in ([200, 403], [200, 409])


async def test_changing_ones_password_ends_the_other_sessions(admin: Account, running: Running) -> None:
    async with running.client() as client:
        elsewhere = (await sign_in(client, admin.email))["access_token"]
        wrong = await admin.client.post("/auth/password", json={"current": "wrong", "new": "a better password"})
        assert problem(wrong) == "401 invalid_credentials"
        changed = await admin.client.post("/auth/password", json={"current": PASSWORD, "new": "a better password"})
        assert changed.status_code == 204
        assert (await admin.client.get("/auth/me")).status_code == 200
        assert (await sign_in(client, admin.email, "a better password"))["access_token"]
    async with running.client(elsewhere) as other:
        assert problem(await other.get("/auth/me")) == "401 token_revoked"


async def test_another_tenants_users_and_keys_are_not_there(
    admin: Account, stranger: Account, running: Running
) -> None:
    record, _ = await issue(admin, running, "recognize")
    user_id = (await admin.client.get("/auth/me")).json()["user_id"]
    for method, path, expected in [
        ("GET", f"/keys/{record['key_id']}", "404 key_not_found"),
        ("DELETE", f"/keys/{record['key_id']}", "404 key_not_found"),
        ("POST", f"/keys/{record['key_id']}/rotate", "404 key_not_found"),
        ("GET", f"/users/{user_id}", "404 user_not_found"),
        ("DELETE", f"/users/{user_id}", "404 user_not_found"),
    ]:
        assert problem(await stranger.client.request(method, path)) == expected
    answer = await stranger.client.patch(f"/users/{user_id}", json={"role": "viewer"})
    assert problem(answer) == "404 user_not_found"
    assert [user["user_id"] for user in (await admin.client.get("/users")).json()["items"]] == [user_id]


async def read_pages(account: Account, path: str, **parameters: str) -> list[dict[str, Any]]:
    """Read a list two items at a time; checks that only the last page has no cursor."""
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        query = parameters | {"limit": "2"} | ({"cursor": cursor} if cursor is not None else {})
        page = (await account.client.get(path, params=query)).raise_for_status().json()
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items
        assert len(page["items"]) == 2


async def test_keys_and_users_come_in_pages_oldest_first(admin: Account, stranger: Account) -> None:
    keys = [
        (await admin.client.post("/keys", json={"name": f"key {number}", "scopes": ["recognize"]})).json()["key_id"]
        for number in range(5)
    ]
    access_keys = [
        (await admin.client.post("/access-keys", json={"scopes": ["recognize"]})).json()["key_id"] for _ in range(3)
    ]
    emails = [f"{uuid4().hex}@example.com" for _ in range(3)]
    for email in emails:
        body = {"email": email, "password": PASSWORD, "role": "viewer"}
        assert (await admin.client.post("/users", json=body)).status_code == 201
    await admin.client.delete(f"/keys/{keys[2]}")
    assert [key["key_id"] for key in await read_pages(admin, "/keys")] == [*keys[:2], *keys[3:]]
    assert [key["key_id"] for key in await read_pages(admin, "/access-keys")] == access_keys
    assert [user["email"] for user in await read_pages(admin, "/users")][1:] == emails

    cursor = (await admin.client.get("/keys", params={"limit": 1})).json()["next_cursor"]
    for account, path in ((admin, "/access-keys"), (admin, "/users"), (stranger, "/keys")):
        assert problem(await account.client.get(path, params={"cursor": cursor})) == "422 invalid_cursor"
