"""Guessing passwords from many addresses, and what junk from an address does to everybody behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.persistence.repositories.login_attempts import BY_ACCOUNT, BY_ADDRESS, AttemptLimit, sweep_login_attempts
from app.settings import Settings
from tests.api.conftest import PASSWORD, Account, Running, problem, sign_in, start

HOME = "203.0.113.80"
JUNK = "vk_" + "a" * 16 + "_" + "b" * 43


def at(running: Running, address: str, token: str | None = None) -> httpx.AsyncClient:
    client = running.client(token)
    client._transport.client = (address, 1)  # type: ignore[attr-defined]
    return client


async def attempt(running: Running, email: str, password: str, address: str) -> httpx.Response:
    async with at(running, address) as client:
        return await client.post("/auth/token", data={"username": email, "password": password})


async def guess_from_everywhere(running: Running, email: str, guesses: int) -> list[httpx.Response]:
    """Ten guesses from each address, twenty at a time."""
    answers = []
    for first in range(0, guesses, 20):
        numbers = range(first, min(first + 20, guesses))
        calls = (attempt(running, email, f"guess {n}", f"198.51.100.{n // 10}") for n in numbers)
        answers += await asyncio.gather(*calls)
    return answers


async def test_guesses_from_many_addresses_are_delayed_and_the_owner_is_not(admin: Account, running: Running) -> None:
    assert (await attempt(running, admin.email, PASSWORD, HOME)).status_code == 200
    answers = await guess_from_everywhere(running, admin.email, 200)
    checked = [answer for answer in answers if answer.status_code == 401]
    assert BY_ACCOUNT.attempts <= len(checked) <= 100
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert problem(refused) == "429 too_many_login_attempts"
    assert 1 <= int(refused.headers["retry-after"]) <= 15
    assert (await attempt(running, admin.email, PASSWORD, "192.0.2.99")).status_code == 429  # a new address waits
    assert (await attempt(running, admin.email, "mistyped", HOME)).status_code == 401
    assert (await attempt(running, admin.email, PASSWORD, HOME)).status_code == 200
    assert (await attempt(running, admin.email, PASSWORD, f"::ffff:{HOME}")).status_code == 200


async def test_the_owners_sign_ins_give_the_guesser_no_fresh_start(
    admin: Account, running: Running, database: Database
) -> None:
    await guess_from_everywhere(running, admin.email, BY_ACCOUNT.attempts)
    await end_delays(database)
    assert (await attempt(running, admin.email, PASSWORD, HOME)).status_code == 200  # new, then known
    await end_delays(database)
    assert (await attempt(running, admin.email, PASSWORD, HOME)).status_code == 200
    assert (await attempt(running, admin.email, "a guess", "198.51.100.90")).status_code == 401
    assert (await attempt(running, admin.email, "a guess", "198.51.100.91")).status_code == 429


async def end_delays(database: Database) -> None:
    async with database.transaction(as_operator=True) as session:
        await session.execute(text("UPDATE login_attempts SET blocked_until = now() WHERE blocked_until IS NOT NULL"))


async def test_refused_attempts_count_nowhere(admin: Account, running: Running, database: Database) -> None:
    await guess_from_everywhere(running, admin.email, BY_ACCOUNT.attempts)
    refused = [await attempt(running, admin.email, PASSWORD, "192.0.2.1") for _ in range(BY_ADDRESS.attempts + 2)]
    assert {answer.status_code for answer in refused} == {429}
    await end_delays(database)
    assert (await attempt(running, admin.email, PASSWORD, "192.0.2.1")).status_code == 200


async def test_an_unknown_email_is_delayed_like_a_known_one(running: Running) -> None:
    answers = await guess_from_everywhere(running, f"{uuid4().hex}@example.com", BY_ACCOUNT.attempts + 10)
    assert sorted(answer.status_code for answer in answers) == [401] * BY_ACCOUNT.attempts + [429] * 10


async def test_many_new_devices_of_one_owner_wait_for_nobody(admin: Account, running: Running) -> None:
    for number in range(BY_ACCOUNT.attempts + 5):
        assert (await attempt(running, admin.email, PASSWORD, f"192.0.2.{number}")).status_code == 200


@pytest.mark.parametrize("limit", [BY_ADDRESS, BY_ACCOUNT])
def test_delays_grow_up_to_a_limit(limit: AttemptLimit) -> None:
    assert limit.delay(limit.attempts - 1) is None
    delays = [limit.delay(limit.attempts + more) for more in range(40)]
    seconds = [delay.total_seconds() for delay in delays if delay is not None]
    assert len(seconds) == 40
    assert seconds == sorted(seconds)
    assert seconds[1] == 2 * seconds[0] == 2 * limit.first_delay.total_seconds()
    assert seconds[-1] == limit.max_delay.total_seconds()


async def test_old_attempts_and_addresses_are_swept(admin: Account, running: Running, database: Database) -> None:
    await attempt(running, admin.email, PASSWORD, HOME)
    await attempt(running, admin.email, "a guess", "192.0.2.7")
    assert len(await attempts_aged(database, "0 seconds")) >= 3
    assert len(await attempts_aged(database, "23 hours")) >= 3
    known = await attempts_aged(database, "2 days")
    assert {key.partition(":")[0] for key in known} == {"known"}
    assert await attempts_aged(database, "89 days") == known
    assert await attempts_aged(database, "91 days") == []


async def attempts_aged(database: Database, age: str) -> list[str]:
    """The keys that a sweep leaves when the last attempt is this long ago."""
    async with database.transaction(as_operator=True) as session:
        aged = "UPDATE login_attempts SET blocked_until = NULL, since = now() - CAST(CAST(:age AS text) AS interval)"
        await session.execute(text(aged), {"age": age})
    await sweep_login_attempts(database)
    async with database.transaction(as_operator=True) as session:
        return list((await session.scalars(text("SELECT key FROM login_attempts ORDER BY key"))).all())


# --- junk from one address ----------------------------------------------------------------------------------------


@pytest.fixture
async def strict(settings: Settings) -> AsyncIterator[Running]:
    """An app with a small rate by address, and the operator's API."""
    async with AsyncExitStack() as stack:
        yield await start(settings.model_copy(update={"public_rate": "4/minute"}), stack)


async def test_junk_tokens_do_not_count_against_others_behind_the_address(
    admin: Account, strict: Running, settings: Settings
) -> None:
    address = f"10.{uuid4().int % 250}.{uuid4().int % 250}.1"
    async with at(strict, address, JUNK) as junk:
        new = {"current": PASSWORD, "new": "a better password"}
        routes = ("/auth/me", "/collections", "/auth/password", "/auth/refresh")
        for _ in range(3):
            bodies = (None, None, new, {"refresh_token": "x.y.z"})
            for path, body in zip(routes, bodies, strict=True):
                answer = await junk.request("GET" if body is None else "POST", path, json=body)
                assert answer.status_code in (401, 429)
        assert problem(await junk.get("/auth/me")) == "429 rate_limited"
    async with at(strict, address) as client:
        tokens = await sign_in(client, admin.email)
        assert (await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})).status_code == 200
    async with at(strict, address, admin.tokens["access_token"]) as client:
        assert (await client.post("/auth/password", json=new)).status_code == 204


async def test_an_ended_session_is_told_so_however_often_it_asks(admin: Account, strict: Running) -> None:
    async with at(strict, "10.251.0.1", admin.tokens["access_token"]) as client:
        await client.post("/auth/logout")
        assert {problem(await client.get("/auth/me")) for _ in range(8)} == {"401 token_revoked"}
