"""Signing up, in and out."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest

from app.persistence.connections.database import Database
from app.persistence.repositories.collections import CollectionRepository
from app.security.keyring import Keyring
from app.security.tokens import TokenClaims, TokenIssuer, TokenKind
from app.settings import Settings
from tests.api.conftest import PASSWORD, Account, Running, problem, sign_in, start


async def test_signing_up_makes_a_tenant_an_admin_and_the_default_collection(
    admin: Account, database: Database
) -> None:
    me = (await admin.client.get("/auth/me")).json()
    assert me["tenant_id"] == str(admin.tenant_id)
    assert me["role"] == "admin"
    assert "delete" in me["permissions"]
    async with database.transaction(admin.tenant_id) as session:
        assert await CollectionRepository(session, admin.tenant_id).find("default") is not None


async def test_the_token_answer_is_oauth2s(admin: Account) -> None:
    assert admin.tokens.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert admin.tokens["token_type"] == "bearer"
    assert admin.tokens["expires_in"] == 900


async def test_a_taken_email_is_a_conflict_and_leaves_no_tenant(admin: Account, anonymous: httpx.AsyncClient) -> None:
    body = {"tenant": "Other", "email": admin.email.upper(), "password": PASSWORD}
    assert problem(await anonymous.post("/auth/signup", json=body)) == "409 email_taken"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"password": "hunter2"}, "password"),
        ({"password": 7}, "password"),
        ({"password": "x" * 300}, "password"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": "\0"}, "tenant"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_a_bad_signup_names_the_field_and_never_the_password(
    anonymous: httpx.AsyncClient, change: dict[str, object], field: str
) -> None:
    body = {"tenant": "Acme", "email": f"{uuid4().hex}@example.com", "password": "correct horse", **change}
    answer = await anonymous.post("/auth/signup", json=body)
    assert problem(answer) == "422 invalid_parameter"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "correct horse" not in answer.text
    assert "hunter2" not in answer.text


async def test_signup_can_be_turned_off(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        running = await start(settings.model_copy(update={"signup_enabled": False}), stack)
        async with running.client() as client:
            body = {"tenant": "Acme", "email": f"{uuid4().hex}@example.com", "password": PASSWORD}
            assert problem(await client.post("/auth/signup", json=body)) == "403 signup_disabled"


@pytest.mark.parametrize("password", ["wrong", "", "x" * 256, "with\0null"])
async def test_a_wrong_password_and_an_unknown_email_look_the_same(
    admin: Account, anonymous: httpx.AsyncClient, password: str
) -> None:
    known = await anonymous.post("/auth/token", data={"username": admin.email, "password": password})
    unknown = await anonymous.post("/auth/token", data={"username": "nobody@example.com", "password": password})
    if password:
        assert problem(known) == problem(unknown) == "401 invalid_credentials"
        assert {**known.json(), "request_id": 0} == {**unknown.json(), "request_id": 0}
    else:
        assert problem(known) == "422 invalid_parameter"


@pytest.mark.parametrize("username", ["a\0b@example.com", "x" * 321, "' OR 1=1 --", "é"])
async def test_no_username_makes_the_service_fail(anonymous: httpx.AsyncClient, username: str) -> None:
    answer = await anonymous.post("/auth/token", data={"username": username, "password": PASSWORD})
    assert answer.status_code in (401, 422), answer.text


async def test_no_token_a_foreign_one_and_an_expired_one_are_told_apart(
    admin: Account, running: Running, settings: Settings
) -> None:
    claims = running.state.auth._tokens.read(TokenKind.ACCESS, admin.tokens["access_token"])

    def issue(secret: bytes, minutes: int) -> str:
        lifetime = timedelta(minutes=minutes)
        return TokenIssuer(Keyring([secret]), access_lifetime=lifetime, refresh_lifetime=lifetime).issue(
            TokenKind.ACCESS, claims
        )

    cases = {
        None: "401 not_authenticated",
        "nonsense": "401 token_invalid",
        issue(b"another secret of thirty-two bytes!!", 5): "401 token_invalid",
        issue(settings.signing_keys()[0], -1): "401 token_expired",
        admin.tokens["refresh_token"]: "401 token_invalid",
    }
    for token, expected in cases.items():
        async with running.client(token) as client:
            answer = await client.get("/auth/me")
            assert problem(answer) == expected
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_of_a_session_in_another_tenant_is_worthless(
    admin: Account, stranger: Account, running: Running
) -> None:
    tokens = running.state.auth._tokens
    claims = tokens.read(TokenKind.ACCESS, stranger.tokens["access_token"])
    mixed = TokenClaims(claims.user_id, admin.tenant_id, claims.session_id, 0)
    async with running.client(tokens.issue(TokenKind.ACCESS, mixed)) as client:
        assert problem(await client.get("/auth/me")) == "401 token_revoked"


async def test_several_credentials_at_once_are_refused(
    admin: Account, stranger: Account, anonymous: httpx.AsyncClient
) -> None:
    mine, theirs = (f"Bearer {account.tokens['access_token']}" for account in (admin, stranger))
    key = theirs.removeprefix("Bearer ")
    for headers in (
        [("authorization", mine), ("authorization", theirs)],
        [("authorization", mine), ("x-api-key", key)],
        [("x-api-key", key), ("x-api-key", key)],
    ):
        assert problem(await anonymous.get("/auth/me", headers=headers)) == "401 not_authenticated"
    same = [("authorization", theirs), ("x-api-key", key)]
    assert (await anonymous.get("/auth/me", headers=same)).status_code == 200


async def test_a_refresh_token_of_another_user_than_its_session_is_worthless(
    admin: Account, stranger: Account, anonymous: httpx.AsyncClient, running: Running
) -> None:
    tokens = running.state.auth._tokens
    mine, theirs = (tokens.read(TokenKind.REFRESH, account.tokens["refresh_token"]) for account in (admin, stranger))
    mixed = tokens.issue(TokenKind.REFRESH, TokenClaims(mine.user_id, theirs.tenant_id, theirs.session_id, 0))
    assert problem(await anonymous.post("/auth/refresh", json={"refresh_token": mixed})) == "401 token_revoked"


async def test_a_refresh_token_works_once_and_its_replay_ends_the_session(
    admin: Account, anonymous: httpx.AsyncClient, running: Running
) -> None:
    first = admin.tokens["refresh_token"]
    renewed = (await anonymous.post("/auth/refresh", json={"refresh_token": first})).json()
    async with running.client(renewed["access_token"]) as client:
        assert (await client.get("/auth/me")).status_code == 200
        assert problem(await anonymous.post("/auth/refresh", json={"refresh_token": first})) == "401 token_revoked"
        # Whoever holds the newer token may be the thief: the whole session is over.
        assert problem(await client.get("/auth/me")) == "401 token_revoked"
    answer = await anonymous.post("/auth/refresh", json={"refresh_token": renewed["refresh_token"]})
    assert problem(answer) == "401 token_revoked"


async def test_of_many_parallel_refreshes_at_most_one_wins(admin: Account, anonymous: httpx.AsyncClient) -> None:
    body = {"refresh_token": admin.tokens["refresh_token"]}
    answers = await asyncio.gather(*(anonymous.post("/auth/refresh", json=body) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 49


async def test_signing_out_ends_the_session_at_once(admin: Account, anonymous: httpx.AsyncClient) -> None:
    assert (await admin.client.post("/auth/logout")).status_code == 204
    assert problem(await admin.client.get("/auth/me")) == "401 token_revoked"
    answer = await anonymous.post("/auth/refresh", json={"refresh_token": admin.tokens["refresh_token"]})
    assert problem(answer) == "401 token_revoked"
    assert (await sign_in(anonymous, admin.email))["access_token"]


async def test_tokens_are_not_cached(admin: Account, anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/auth/token", data={"username": admin.email, "password": PASSWORD})
    assert answer.headers["cache-control"] == "no-store"


async def test_the_operator_can_sign_in_for_a_tenant(admin: Account, running: Running) -> None:
    pair = await running.state.auth.sign_in_for_operator(admin.tenant_id)
    async with running.client(pair.access_token) as client:
        assert UUID((await client.get("/auth/me")).json()["tenant_id"]) == admin.tenant_id
