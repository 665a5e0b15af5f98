"""Invitations, and links by which users choose a new password."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from queue import Empty
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.permissions import Plan, Quota, Role
from app.persistence.connections.database import Database
from app.persistence.repositories.tenants import PlanDirectory, TenantDirectory
from app.settings import Settings
from tests.api.conftest import PASSWORD, Account, Running, WithRole, problem, sign_in, sign_up_at, start
from tests.mail_servers import Mails, serving_mails

NEW = "a new and longer password"


def new_email() -> str:
    return f"{uuid4().hex}@example.com"


def token_of(answer: dict[str, Any]) -> str:
    return str(answer["link"]).partition("#")[2]


async def invite(admin: Account, role: str = "operator") -> dict[str, Any]:
    answer = await admin.client.post("/invitations", json={"email": new_email(), "role": role})
    assert answer.status_code == 201, answer.text
    invited: dict[str, Any] = answer.json()
    return invited


async def test_an_invited_person_chooses_a_password_and_signs_in(admin: Account, running: Running) -> None:
    invited = await invite(admin)
    token = token_of(invited)
    assert invited["link"] == f"/console/invitation#{token}"
    assert invited["is_mailed"] is False
    assert [one["email"] for one in (await admin.client.get("/invitations")).json()["items"]] == [invited["email"]]
    async with running.client() as client:
        shown = (await client.post("/auth/link", json={"token": token})).json()
        assert (shown["kind"], shown["tenant"], shown["role"]) == ("invitation", "Acme", "operator")
        accepted = await client.post("/auth/invitation", json={"token": token, "password": NEW})
        assert accepted.status_code == 201
        assert accepted.json()["role"] == "operator"
        await sign_in(client, invited["email"], NEW)
        again = await client.post("/auth/invitation", json={"token": token, "password": NEW})
        assert problem(again) == "404 link_not_found"
        assert problem(await client.post("/auth/link", json={"token": token})) == "404 link_not_found"
    assert (await admin.client.get("/invitations")).json()["items"] == []
    actions = [entry["action"] for entry in (await admin.client.get("/audit")).json()["items"]]
    assert actions[:2] == ["invitation.accepted", "invitation.issued"]
    assert invited["email"] not in (await admin.client.get("/audit")).text


async def test_a_revoked_an_expired_and_an_outdated_invitation_are_refused(
    admin: Account, running: Running, database: Database
) -> None:
    revoked, expired, outdated = await invite(admin), await invite(admin), await invite(admin)
    await admin.client.delete(f"/invitations/{revoked['invitation_id']}")
    assert problem(await admin.client.delete(f"/invitations/{revoked['invitation_id']}")) == "404 invitation_not_found"
    async with database.transaction(as_operator=True) as session:
        await session.execute(
            text("UPDATE account_links SET expires_at = now() WHERE id = :id"), {"id": expired["invitation_id"]}
        )
    await admin.client.post("/invitations", json={"email": outdated["email"], "role": "viewer"})
    async with running.client() as client:
        for one in (revoked, expired, outdated):
            answer = await client.post("/auth/invitation", json={"token": token_of(one), "password": NEW})
            assert problem(answer) == "404 link_not_found"


@pytest.mark.parametrize(
    "token", ["", "vi_short", "vr_" + "a" * 16 + "_" + "b" * 43, "vi_" + "a" * 16 + "_" + "b" * 43]
)
async def test_a_made_up_link_is_not_found(running: Running, token: str) -> None:
    async with running.client() as client:
        for path in ("/auth/invitation", "/auth/reset"):
            assert problem(await client.post(path, json={"token": token, "password": NEW})) == "404 link_not_found"
        assert problem(await client.post("/auth/link", json={"token": token})) == "404 link_not_found"


async def test_a_link_of_one_kind_is_none_of_the_other(admin: Account, running: Running) -> None:
    token = token_of(await invite(admin))
    async with running.client() as client:
        answer = await client.post("/auth/reset", json={"token": token, "password": NEW})
    assert problem(answer) == "404 link_not_found"


async def test_nobody_invites_somebody_who_may_more(admin: Account, running: Running) -> None:
    body = {"name": "helper", "scopes": ["admin"]}
    key = (await admin.client.post("/keys", json=body)).json()["key"]
    async with running.client(key) as client:
        for role in Role:
            answer = await client.post("/invitations", json={"email": new_email(), "role": role})
            assert problem(answer) == "403 permission_denied"
        user_id = (await admin.client.get("/auth/me")).json()["user_id"]
        assert problem(await client.post(f"/users/{user_id}/reset-link")) == "403 permission_denied"
        assert problem(await client.delete(f"/users/{user_id}/second-factor")) == "403 permission_denied"


async def test_an_invitation_of_somebody_who_lost_the_right_is_refused(
    admin: Account, with_role: WithRole, running: Running
) -> None:
    other = await with_role(Role.ADMIN)
    invited = await invite(other, "admin")
    me = (await other.client.get("/auth/me")).json()
    await admin.client.patch(f"/users/{me['user_id']}", json={"role": "operator"})
    async with running.client() as client:
        answer = await client.post("/auth/invitation", json={"token": token_of(invited), "password": NEW})
    assert problem(answer) == "404 link_not_found"


async def test_a_taken_email_and_a_full_quota_are_refused(
    admin: Account, stranger: Account, running: Running, database: Database
) -> None:
    taken = await admin.client.post("/invitations", json={"email": admin.email.upper()})
    assert problem(taken) == "409 email_taken"
    elsewhere = (await admin.client.post("/invitations", json={"email": stranger.email})).json()
    invited = await invite(admin)
    name = uuid4().hex
    async with database.transaction(as_operator=True) as session:
        rates = dict.fromkeys(("read", "admin"), "1000/minute")
        await PlanDirectory(session).save(Plan(name, rates, {Quota.USERS.value: 1}))
        await TenantDirectory(session).set_plan(admin.tenant_id, name)
    async with running.client() as client:
        body = {"token": token_of(elsewhere), "password": NEW}
        assert problem(await client.post("/auth/invitation", json=body)) == "409 email_taken"
        body = {"token": token_of(invited), "password": NEW}
        assert problem(await client.post("/auth/invitation", json=body)) == "403 quota_exceeded"
    assert [one["email"] for one in (await admin.client.get("/invitations")).json()["items"]] == [
        stranger.email,
        invited["email"],
    ]


async def test_a_reset_link_sets_the_password_once_and_ends_all_sessions(
    admin: Account, with_role: WithRole, running: Running
) -> None:
    user = await with_role(Role.OPERATOR)
    user_id = (await user.client.get("/auth/me")).json()["user_id"]
    first = (await admin.client.post(f"/users/{user_id}/reset-link")).json()
    second = (await admin.client.post(f"/users/{user_id}/reset-link")).json()
    async with running.client() as client:
        weak = await client.post("/auth/reset", json={"token": token_of(second), "password": "short"})
        assert problem(weak) == "422 invalid_parameter"
        done = await client.post("/auth/reset", json={"token": token_of(second), "password": NEW})
        assert done.status_code == 204
        for one in (first, second):  # the other link ends too
            answer = await client.post("/auth/reset", json={"token": token_of(one), "password": NEW})
            assert problem(answer) == "404 link_not_found"
        refused = await client.post("/auth/token", data={"username": user.email, "password": PASSWORD})
        assert problem(refused) == "401 invalid_credentials"
        await sign_in(client, user.email, NEW)
    assert problem(await user.client.get("/auth/me")) == "401 token_revoked"


async def test_a_stranger_creates_no_reset_link(admin: Account, stranger: Account) -> None:
    user_id = (await admin.client.get("/auth/me")).json()["user_id"]
    assert problem(await stranger.client.post(f"/users/{user_id}/reset-link")) == "404 user_not_found"
    invited = await invite(admin)
    answer = await stranger.client.delete(f"/invitations/{invited['invitation_id']}")
    assert problem(answer) == "404 invitation_not_found"


async def test_without_a_mail_server_nobody_asks_for_a_link(running: Running) -> None:
    async with running.client() as client:
        answer = await client.post("/auth/forgot", json={"email": new_email()})
    assert problem(answer) == "422 mail_not_configured"


@pytest.fixture(scope="module")
def mails() -> Iterator[Mails]:
    with serving_mails() as server:
        yield server


@pytest.fixture(scope="module")
async def mailing(settings: Settings, mails: Mails) -> AsyncIterator[Running]:
    """A server that sends mails."""
    changes = {"smtp_url": mails.url, "mail_from": "vultus@example.com", "public_url": "https://faces.example"}
    async with AsyncExitStack() as stack:
        yield await start(Settings.model_validate({**settings.model_dump(), **changes}), stack)


async def test_links_are_mailed_and_no_log_has_them(
    mailing: Running, mails: Mails, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with AsyncExitStack() as stack:
        admin = await sign_up_at(mailing, stack)
        invited = await invite(admin)
        assert invited["is_mailed"] is True
        invitation = await mails.take_token(invited["email"])
        assert invited["link"] == f"https://faces.example/console/invitation#{invitation}"
        async with mailing.client() as client:
            unknown = await client.post("/auth/forgot", json={"email": new_email()})
            known = await client.post("/auth/forgot", json={"email": admin.email.upper()})
            assert (unknown.status_code, unknown.content) == (known.status_code, known.content) == (202, b"null")
            reset = await mails.take_token(admin.email)
            done = await client.post("/auth/reset", json={"token": reset, "password": NEW})
            assert done.status_code == 204
            await sign_in(client, admin.email, NEW)
            for _ in range(5):  # three mails an hour
                await client.post("/auth/forgot", json={"email": admin.email})
        await mailing.state.account_doors.close()
    assert [(await mails.take())["To"] for _ in range(2)] == [admin.email] * 2
    with pytest.raises(Empty):
        mails.received.get(timeout=0.5)
    logged = caplog.text + "".join(capfd.readouterr())
    assert not [word for word in (invitation, reset, invited["email"], NEW) if word in logged]


def test_links_last_as_long_as_the_documents_say() -> None:
    from app.services.access.account_links import INVITATION_LIFETIME, RESET_LIFETIME

    assert (timedelta(days=7), timedelta(hours=1)) == (INVITATION_LIFETIME, RESET_LIFETIME)
