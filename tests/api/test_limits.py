"""Rates, quotas, throttled sign-ins, remembered answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.persistence.repositories.login_attempts import BY_ADDRESS
from app.settings import Settings
from tests import pictures
from tests.api.conftest import PASSWORD, Account, PutOnPlan, Running, problem, start

MAX_ATTEMPTS = BY_ADDRESS.attempts


async def test_no_more_than_the_rate_is_admitted_and_the_rest_is_told_when(
    ada: Account, put_on_plan: PutOnPlan
) -> None:
    await put_on_plan(ada, {"recognize": "5/minute"})
    answers = await asyncio.gather(*(ada.send("/detect", pictures.photo(1)) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 7
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert problem(refused) == "429 rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-policy"] == '"recognize";q=5;w=60'
    assert refused.headers["ratelimit"].startswith('"recognize";r=0;t=')
    remaining = {answer.headers["ratelimit"].split(";")[1] for answer in answers if answer.status_code == 200}
    assert remaining == {f"r={left}" for left in range(5)}


async def test_an_id_in_the_path_opens_no_new_bucket(ada: Account, put_on_plan: PutOnPlan) -> None:
    await put_on_plan(ada, {"read": "4/minute"})
    answers = [await ada.client.get(f"/collections/c{index}") for index in range(8)]
    assert [answer.status_code for answer in answers] == [404] * 4 + [429] * 4


async def test_a_plan_changes_without_a_restart_and_one_tenants_rate_is_not_anothers(
    ada: Account, stranger: Account, put_on_plan: PutOnPlan
) -> None:
    await put_on_plan(ada, {"recognize": "1/minute"})
    assert (await ada.send("/detect", pictures.photo(1))).status_code == 200
    assert (await ada.send("/detect", pictures.photo(1))).status_code == 429
    assert (await stranger.send("/detect", pictures.photo(1))).status_code == 200
    await put_on_plan(ada, {"recognize": "3/minute"})
    assert (await ada.send("/detect", pictures.photo(1))).status_code == 200


async def test_a_rate_that_cannot_be_read_limits_all_the_same(ada: Account, put_on_plan: PutOnPlan) -> None:
    await put_on_plan(ada, {"recognize": "often"})
    answer = await ada.send("/detect", pictures.photo(1))
    assert answer.status_code == 200
    assert answer.headers["ratelimit-policy"] == '"recognize";q=60;w=60'


async def test_a_refused_upload_is_refused_before_its_body_is_read(ada: Account, put_on_plan: PutOnPlan) -> None:
    await put_on_plan(ada, {"register": "1/minute"})
    assert (await ada.register("ada", pictures.photo(1))).status_code == 201
    # Not even multipart: the refusal comes first.
    answer = await ada.client.post("/register", content=b"x" * 60_000, headers={"content-type": "text/plain"})
    assert problem(answer) == "429 rate_limited"


async def test_a_refusal_by_the_short_window_leaves_the_long_one_alone(ada: Account, put_on_plan: PutOnPlan) -> None:
    await put_on_plan(ada, {"read": "20/hour;3/minute"})
    answers = [await ada.client.get("/collections") for _ in range(12)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 9
    assert answers[-1].headers["ratelimit-policy"] == '"read";q=3;w=60'


async def test_bad_credentials_are_counted_by_address(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        running = await start(settings.model_copy(update={"public_rate": "3/minute"}), stack)
        async with running.client("vk_" + "a" * 16 + "_" + "b" * 43) as client:
            client._transport.client = ("192.0.2.1", 1)  # type: ignore[attr-defined]
            codes = [(await client.get("/collections")).status_code for _ in range(5)]
    assert codes == [401] * 3 + [429] * 2


async def test_signing_up_is_limited_by_address(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        running = await start(settings.model_copy(update={"public_rate": "3/minute"}), stack)
        async with running.client() as client:
            codes = [(await client.post("/auth/signup", json={})).status_code for _ in range(5)]
    assert codes == [422] * 3 + [429] * 2


async def test_two_processes_share_one_count(ada: Account, settings: Settings, put_on_plan: PutOnPlan) -> None:
    await put_on_plan(ada, {"recognize": "6/minute"})
    async with AsyncExitStack() as stack:
        other = await start(settings, stack)
        async with other.client(ada.tokens["access_token"]) as client:
            twin = Account(client, ada.tenant_id, ada.email, ada.tokens)
            answers = await asyncio.gather(
                *((ada if index % 2 else twin).send("/detect", pictures.photo(1)) for index in range(14))
            )
    assert sorted(answer.status_code for answer in answers) == [200] * 6 + [429] * 8


@pytest.mark.parametrize(
    ("quota", "refused_by"),
    [("templates", "register"), ("collections", "collection"), ("users", "user"), ("recognitions_a_month", "detect")],
)
async def test_a_quota_is_never_exceeded_and_nothing_is_written_beyond_it(
    ada: Account, put_on_plan: PutOnPlan, quota: str, refused_by: str
) -> None:
    before = (await ada.client.get("/tenant")).json()["quotas"][quota]["used"]
    await put_on_plan(ada, {"recognize": "1000/minute", "register": "1000/minute"}, **{quota: before + 2})

    async def attempt(index: int) -> httpx.Response:
        match refused_by:
            case "register":
                return await ada.register(f"s{index}", pictures.photo(index))
            case "collection":
                return await ada.client.post("/collections", json={"name": f"c{index}"})
            case "user":
                body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
                return await ada.client.post("/users", json=body)
            case _:
                return await ada.send("/detect", pictures.photo(1))

    answers = await asyncio.gather(*(attempt(index) for index in range(6)))
    done = [answer for answer in answers if answer.status_code in (200, 201)]
    assert len(done) == 2, [answer.text for answer in answers]
    refused = next(answer for answer in answers if answer not in done)
    assert problem(refused) == "403 quota_exceeded"
    assert str(before + 2) in refused.json()["detail"]
    assert (await ada.client.get("/tenant")).json()["quotas"][quota] == {"used": before + 2, "limit": before + 2}


async def test_what_is_deleted_counts_no_more(ada: Account, put_on_plan: PutOnPlan) -> None:
    await put_on_plan(ada, templates=1)
    assert problem(await ada.register("bob", pictures.photo(2))) == "403 quota_exceeded"
    await ada.client.delete("/collections/default/subjects/ada")
    assert (await ada.register("bob", pictures.photo(2))).status_code == 201
    await ada.client.delete("/collections/default")
    assert (await ada.client.get("/tenant")).json()["quotas"]["templates"]["used"] == 0


# --- signing in ---------------------------------------------------------------------------------------------------


async def test_ten_tries_then_growing_delays_that_lock_out_nobody_else(
    admin: Account, running: Running, database: Database
) -> None:
    key = (await admin.client.post("/keys", json={"name": "program", "scopes": ["recognize"]})).json()["key"]

    async def attempt(password: str, address: str = "198.51.100.7") -> httpx.Response:
        async with running.client() as client:
            client._transport.client = (address, 1)  # type: ignore[attr-defined]
            return await client.post("/auth/token", data={"username": admin.email, "password": password})

    # In parallel, since counting comes before looking.
    answers = await asyncio.gather(*(attempt(f"guess {index}") for index in range(MAX_ATTEMPTS + 8)))
    assert sorted(answer.status_code for answer in answers) == [401] * MAX_ATTEMPTS + [429] * 8
    locked = await attempt(PASSWORD)
    assert problem(locked) == "429 too_many_login_attempts"
    assert 0 < int(locked.headers["retry-after"]) <= 30  # it began when the tenth attempt was counted

    async with running.client(key) as program:  # a key goes on
        assert (await program.get("/auth/me")).status_code == 200
    assert (await admin.client.get("/auth/me")).status_code == 200  # so does a session
    assert (await attempt(PASSWORD, "203.0.113.9")).status_code == 200  # and another address

    async with database.transaction(as_operator=True) as session:
        await session.execute(text("UPDATE login_attempts SET blocked_until = now() WHERE blocked_until IS NOT NULL"))
    assert (await attempt("another guess")).status_code == 401
    assert 30 < int((await attempt(PASSWORD)).headers["retry-after"]) <= 60
    async with database.transaction(as_operator=True) as session:
        await session.execute(text("UPDATE login_attempts SET blocked_until = now() WHERE blocked_until IS NOT NULL"))
        keys = (await session.scalars(text("SELECT key FROM login_attempts"))).all()
    assert not any("@" in key or "198.51" in key for key in keys)
    assert (await attempt(PASSWORD)).status_code == 200
    assert (await attempt("mistyped")).status_code == 401  # a success begins anew


async def test_parallel_sign_ins_with_the_right_password_all_succeed(admin: Account, running: Running) -> None:
    async with running.client() as client:
        form = {"username": admin.email, "password": PASSWORD}
        answers = await asyncio.gather(*(client.post("/auth/token", data=form) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}


async def test_no_session_of_the_old_password_survives_its_change(admin: Account, running: Running) -> None:
    async with running.client() as client:
        form = {"username": admin.email, "password": PASSWORD}
        change = {"current": PASSWORD, "new": "a better password"}
        signed_in = [client.post("/auth/token", data=form) for _ in range(7)]
        *answers, changed = await asyncio.gather(*signed_in, admin.client.post("/auth/password", json=change))
        assert changed.status_code == 204
        tokens = [answer.json()["access_token"] for answer in answers if answer.status_code == 200]
    for token in tokens:
        async with running.client(token) as other:
            assert problem(await other.get("/auth/me")) == "401 token_revoked"


async def test_guessing_the_current_password_is_throttled_too(admin: Account) -> None:
    body = {"current": "a guess", "new": "a better password"}
    codes = [(await admin.client.post("/auth/password", json=body)).status_code for _ in range(MAX_ATTEMPTS + 2)]
    assert codes == [401] * MAX_ATTEMPTS + [429] * 2


# --- idempotency --------------------------------------------------------------------------------------------------


@pytest.fixture
async def retrying(ada: Account, running: Running) -> AsyncIterator[Account]:
    """`ada` with an Idempotency-Key on everything."""
    async with running.client(ada.tokens["access_token"]) as client:
        client.headers["idempotency-key"] = "retry-1"
        yield Account(client, ada.tenant_id, ada.email, ada.tokens)


async def test_the_same_request_twice_has_one_effect_and_one_answer(ada: Account, retrying: Account) -> None:
    first = await retrying.register("bob", pictures.photo(2))
    second = await retrying.register("bob", pictures.photo(2))
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert (await ada.client.get("/collections/default/subjects/bob")).json()["templates"] == 1


async def test_fifty_parallel_requests_have_one_effect(ada: Account, retrying: Account) -> None:
    tiny = pictures.encode(pictures.portrait(2, side=120))
    answers = await asyncio.gather(*(retrying.register("bob", tiny) for _ in range(30)))
    served = [answer for answer in answers if answer.status_code != 503]
    assert {answer.status_code for answer in served} == {201}
    assert len({answer.json()["templates"][0]["face_id"] for answer in served}) == 1
    assert (await ada.client.get("/collections/default/subjects/bob")).json()["templates"] == 1
    retrying.client.headers["idempotency-key"] = "retry-2"
    answers = await asyncio.gather(*(retrying.client.post("/collections", json={"name": "x"}) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["created_at"] for answer in answers}) == 1


async def test_another_body_under_the_same_key_is_refused(retrying: Account) -> None:
    assert (await retrying.register("bob", pictures.photo(2))).status_code == 201
    assert problem(await retrying.register("bob", pictures.photo(3))) == "422 idempotency_key_reused"
    assert problem(await retrying.register("eve", pictures.photo(2))) == "422 idempotency_key_reused"
    assert problem(await retrying.client.post("/collections", json={"name": "c"})) == "422 idempotency_key_reused"


async def test_deleting_twice_is_one_deletion(ada: Account, retrying: Account) -> None:
    first = await retrying.client.delete("/collections/default/subjects/ada")
    assert first.status_code == 200
    again = await retrying.client.delete("/collections/default/subjects/ada")
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert again.json() == first.json()
    retrying.client.headers["idempotency-key"] = "other"
    assert problem(await retrying.client.delete("/collections/default/subjects/ada")) == "404 subject_not_found"


async def test_an_error_is_not_remembered(retrying: Account) -> None:
    assert problem(await retrying.register("bob", pictures.landscape())) == "422 no_face"
    assert (await retrying.register("bob", pictures.photo(2))).status_code == 201


async def test_keys_belong_to_one_caller_and_bad_ones_are_refused(retrying: Account, stranger: Account) -> None:
    assert (await retrying.client.post("/collections", json={"name": "mine"})).status_code == 201
    stranger.client.headers["idempotency-key"] = "retry-1"
    assert (await stranger.client.post("/collections", json={"name": "theirs"})).status_code == 201
    for key in ("", "x" * 256, "with space"):
        stranger.client.headers["idempotency-key"] = key
        answer = await stranger.client.post("/collections", json={"name": "c"})
        assert problem(answer) == "422 invalid_parameter"


async def test_erasing_somebody_erases_the_answers_about_them(
    ada: Account, retrying: Account, database: Database
) -> None:
    await retrying.register("bob", pictures.photo(2))
    retrying.client.headers["idempotency-key"] = "retry-2"
    await retrying.client.post("/collections/default/subjects", json={"subject": "bobby"})
    await ada.client.delete("/collections/default/subjects/bob")
    async with database.transaction(ada.tenant_id) as session:
        bodies = (await session.scalars(text("SELECT body FROM remembered_answers"))).all()
    assert [body for body in bodies if body and "bobby" in body]
    assert not [body for body in bodies if body and '"bob"' in body]
    await ada.client.delete("/collections/default")
    async with database.transaction(ada.tenant_id) as session:
        assert set(await session.scalars(text("SELECT body FROM remembered_answers"))) == {None}
    # A retry that comes late brings nobody back.
    retrying.client.headers["idempotency-key"] = "retry-1"
    assert problem(await retrying.register("bob", pictures.photo(2))) == "410 idempotent_answer_erased"


async def test_a_retry_after_one_face_was_deleted_does_not_store_another_twice(ada: Account, retrying: Account) -> None:
    first = (await ada.register("bob", pictures.photo(2))).json()["templates"][0]["face_id"]
    await retrying.register("bob", pictures.photo(2, take=1))
    await ada.client.delete(f"/collections/default/subjects/bob/faces/{first}")
    assert problem(await retrying.register("bob", pictures.photo(2, take=1))) == "410 idempotent_answer_erased"
    assert (await ada.client.get("/collections/default/subjects/bob")).json()["templates"] == 1
