"""One-time codes, recovery codes, and a tenant that demands them; sessions listed and ended."""

import time
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pyotp
import pytest
from sqlalchemy import text

from app.permissions import Role
from app.persistence.connections.database import Database
from app.settings import Settings
from tests.api.conftest import PASSWORD, Account, Running, WithRole, problem, sign_in, start


def code_of(secret: str, step: int = 0) -> str:
    """The code of now, or of another time step."""
    return pyotp.TOTP(secret).at(int(time.time()) + step * 30)


async def log_in(client: httpx.AsyncClient, email: str, code: str | None = None) -> httpx.Response:
    form = {"username": email, "password": PASSWORD} | ({"code": code} if code is not None else {})
    return await client.post("/auth/token", data=form)


async def enroll(account: Account) -> tuple[str, list[str]]:
    """Set up a second factor with the code of the step before; returns the secret and the recovery codes."""
    begun = await account.client.post("/auth/second-factor", json={"password": PASSWORD})
    assert begun.status_code == 201, begun.text
    secret: str = begun.json()["secret"]
    answer = await account.client.post("/auth/second-factor/confirm", json={"code": code_of(secret, -1)})
    assert answer.status_code == 200, answer.text
    codes: list[str] = answer.json()["recovery_codes"]
    return secret, codes


async def test_the_secret_is_shown_as_text_uri_and_picture(admin: Account) -> None:
    begun = (await admin.client.post("/auth/second-factor", json={"password": PASSWORD})).json()
    uri = pyotp.parse_uri(begun["uri"])
    assert (uri.secret, uri.issuer, uri.name) == (begun["secret"], "Vultus", admin.email)
    assert begun["qr_code"].startswith("data:image/svg+xml")
    state = (await admin.client.get("/auth/second-factor")).json()
    assert state == {"is_enabled": False, "enabled_at": None, "recovery_codes": 0, "is_required": False}


async def test_signing_in_needs_a_code_that_works_once(admin: Account, running: Running) -> None:
    secret, codes = await enroll(admin)
    assert len(set(codes)) == 10
    async with running.client() as client:
        assert problem(await log_in(client, admin.email)) == "401 second_factor_needed"
        wrong_password = {"username": admin.email, "password": "wrong"}
        assert problem(await client.post("/auth/token", data=wrong_password)) == "401 invalid_credentials"
        assert problem(await log_in(client, admin.email, code_of(secret, -1))) == "401 second_factor_wrong"  # used
        code = code_of(secret)
        assert (await log_in(client, admin.email, code)).status_code == 200
        assert problem(await log_in(client, admin.email, code)) == "401 second_factor_wrong"
        assert problem(await log_in(client, admin.email, code_of(secret, -5))) == "401 second_factor_wrong"
        assert (await log_in(client, admin.email, f" {codes[0].upper()} ")).status_code == 200
        assert problem(await log_in(client, admin.email, codes[0])) == "401 second_factor_wrong"
    assert (await admin.client.get("/auth/second-factor")).json()["recovery_codes"] == 9
    actions = [entry["action"] for entry in (await admin.client.get("/audit")).json()["items"]]
    assert actions[:2] == ["recovery_code.used", "second_factor.enabled"]


async def test_guesses_of_codes_are_delayed(admin: Account, running: Running) -> None:
    secret, _ = await enroll(admin)
    async with running.client() as client:
        answers = [problem(await log_in(client, admin.email, "000000")) for _ in range(12)]
        assert "429 too_many_login_attempts" in answers
        # The right code waits as well.
        assert problem(await log_in(client, admin.email, code_of(secret))) == "429 too_many_login_attempts"


async def test_a_second_factor_needs_the_password_and_a_right_code(admin: Account) -> None:
    wrong = await admin.client.post("/auth/second-factor", json={"password": "wrong"})
    assert problem(wrong) == "401 invalid_credentials"
    confirm = await admin.client.post("/auth/second-factor/confirm", json={"code": "123456"})
    assert problem(confirm) == "409 second_factor_missing"
    await admin.client.post("/auth/second-factor", json={"password": PASSWORD})
    confirm = await admin.client.post("/auth/second-factor/confirm", json={"code": "no-code"})
    assert problem(confirm) == "401 second_factor_wrong"
    await enroll(admin)
    again = await admin.client.post("/auth/second-factor", json={"password": PASSWORD})
    assert problem(again) == "409 second_factor_exists"


async def test_enrolling_ends_other_sessions_and_removing_needs_both(admin: Account, running: Running) -> None:
    async with running.client() as client:
        other = (await sign_in(client, admin.email))["access_token"]
    _, codes = await enroll(admin)
    async with running.client(other) as client:
        assert problem(await client.get("/auth/me")) == "401 token_revoked"
    body = {"password": PASSWORD, "code": "000000"}
    assert problem(await admin.client.post("/auth/second-factor/remove", json=body)) == "401 second_factor_wrong"
    body = {"password": PASSWORD, "code": codes[0]}
    replaced = await admin.client.post("/auth/second-factor/recovery-codes", json=body)
    fresh = replaced.json()["recovery_codes"]
    assert not set(fresh) & set(codes)
    body = {"password": PASSWORD, "code": codes[1]}
    assert problem(await admin.client.post("/auth/second-factor/remove", json=body)) == "401 second_factor_wrong"
    body = {"password": PASSWORD, "code": fresh[0]}
    assert (await admin.client.post("/auth/second-factor/remove", json=body)).status_code == 204
    async with running.client() as client:
        assert (await log_in(client, admin.email)).status_code == 200


async def test_an_admin_removes_a_lost_second_factor(admin: Account, stranger: Account, with_role: WithRole) -> None:
    user = await with_role(Role.VIEWER)
    user_id = (await user.client.get("/auth/me")).json()["user_id"]
    path = f"/users/{user_id}/second-factor"
    assert problem(await admin.client.delete(path)) == "409 second_factor_missing"
    await enroll(user)
    assert problem(await stranger.client.delete(path)) == "404 user_not_found"
    assert problem(await user.client.delete(path)) == "403 permission_denied"
    assert (await admin.client.delete(path)).status_code == 204
    assert problem(await user.client.get("/auth/me")) == "401 token_revoked"


async def test_where_the_tenant_demands_it_others_may_only_enroll(
    admin: Account, with_role: WithRole, running: Running
) -> None:
    user = await with_role(Role.VIEWER)
    key = (await admin.client.post("/keys", json={"name": "robot", "scopes": ["register"]})).json()["key"]
    assert (await admin.client.put("/policy", json={"second_factor_required": True})).status_code == 200
    for account in (admin, user):
        for _ in range(2):  # by both ways of counting a request
            assert problem(await account.client.get("/collections")) == "403 second_factor_required"
        assert (await account.client.get("/auth/me")).json()["permissions"] == []
        assert (await account.client.get("/auth/second-factor")).json()["is_required"] is True
    async with running.client() as client:
        token = (await sign_in(client, user.email))["access_token"]
    async with running.client(token) as client:
        assert problem(await client.get("/collections")) == "403 second_factor_required"
    async with running.client(key) as client:
        assert (await client.get("/collections")).status_code == 200
    await enroll(user)
    assert (await user.client.get("/collections")).status_code == 200
    assert problem(await admin.client.get("/collections")) == "403 second_factor_required"
    await enroll(admin)
    assert (await admin.client.get("/policy")).json()["second_factor_required"] is True


async def test_the_database_has_neither_secrets_nor_codes(admin: Account, database: Database) -> None:
    secret, codes = await enroll(admin)
    stored = ""
    async with database.transaction(as_operator=True) as session:
        for table in ("second_factors", "recovery_codes"):
            rows = await session.execute(text(f"SELECT t::text FROM {table} t"))
            stored += "".join(rows.scalars())
    assert secret not in stored
    assert not [code for code in codes if code in stored or code.replace("-", "") in stored]
    assert secret.encode().hex() not in stored


async def test_a_second_factor_survives_a_new_service_secret(settings: Settings, admin: Account) -> None:
    secret, codes = await enroll(admin)
    old = settings.secret_key
    assert old is not None
    changes: dict[str, Any] = {
        "secret_key": "another secret for tests, 32 bytes or more",
        "previous_secret_keys": [old],
    }
    async with AsyncExitStack() as stack:
        renewed = await start(
            settings.model_copy(update=Settings.model_validate({**settings.model_dump(), **changes}).model_dump()),
            stack,
        )
        async with renewed.client() as client:
            assert (await log_in(client, admin.email, code_of(secret))).status_code == 200
            assert (await log_in(client, admin.email, codes[0])).status_code == 200


async def test_sessions_are_listed_and_ended(admin: Account, stranger: Account, running: Running) -> None:
    async with running.client() as client:
        other = await sign_in(client, admin.email)
        refreshed = (await client.post("/auth/refresh", json={"refresh_token": other["refresh_token"]})).json()
    found = (await admin.client.get("/auth/sessions")).json()["items"]
    assert [one["is_current"] for one in found] == [False, True]
    assert found[0]["last_used_at"] is not None
    assert found[1]["last_used_at"] is None
    path = f"/auth/sessions/{found[0]['session_id']}"
    assert problem(await stranger.client.delete(path)) == "404 session_not_found"
    assert problem(await admin.client.delete(f"/auth/sessions/{uuid4()}")) == "404 session_not_found"
    assert (await admin.client.delete(path)).status_code == 204
    assert problem(await admin.client.delete(path)) == "404 session_not_found"
    async with running.client(refreshed["access_token"]) as client:
        assert problem(await client.get("/auth/me")) == "401 token_revoked"
    assert len((await admin.client.get("/auth/sessions")).json()["items"]) == 1


@pytest.mark.parametrize("path", ["/auth/second-factor", "/auth/sessions"])
async def test_nobody_asks_without_signing_in(running: Running, path: str) -> None:
    async with running.client() as client:
        assert problem(await client.get(path)) == "401 not_authenticated"
