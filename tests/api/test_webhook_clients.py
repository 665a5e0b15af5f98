"""Receivers verify messages with the libraries of Standard Webhooks: in Python and, under Node, in JavaScript."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.security.webhook_signatures import generate_secret, sign_message
from tests import packages
from tests.api.conftest import Account
from tests.api.test_webhooks import create, delivering, owner, receiver, until
from tests.receivers import Receiver

__all__ = ["delivering", "owner", "receiver"]

_JAVASCRIPT = Path(__file__).parents[1] / "clients" / "webhooks"


@dataclass(frozen=True)
class Received:
    """A message, and the secret that its receiver has."""

    secret: str
    headers: dict[str, str]
    body: str


Verifier = Callable[[list[Received]], list[str | None]]
"""Returns the type of each message's event, None for one that is refused."""


def verify_in_python(messages: list[Received]) -> list[str | None]:
    def verify(one: Received) -> str | None:
        try:
            return str(Webhook(one.secret).verify(one.body, one.headers)["type"])
        except WebhookVerificationError:
            return None

    return [verify(one) for one in messages]


def verify_in_javascript(messages: list[Received]) -> list[str | None]:
    node, npm = packages.find_node()
    installed = packages.install(npm, _JAVASCRIPT)
    # A program finds its packages in a `node_modules` above it.
    with tempfile.TemporaryDirectory(dir=installed) as folder:
        program = shutil.copy(_JAVASCRIPT / "verify.mjs", folder)
        sent = json.dumps([vars(one) for one in messages])
        done = subprocess.run([node, program], input=sent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    types: list[str | None] = json.loads(done.stdout)
    return types


@pytest.mark.parametrize("verify", [verify_in_python, verify_in_javascript])
async def test_a_library_accepts_messages_and_refuses_forged_ones(
    owner: Account, receiver: Receiver, verify: Verifier
) -> None:
    created = await create(owner, receiver)
    secret = created["secret"]
    subject = {"subject": "ada-löwe"}
    (await owner.client.post("/collections/default/subjects", json=subject)).raise_for_status()
    await until(lambda: len(receiver.accepted) == 1)
    rotated = (await owner.client.post(f"/webhooks/{created['webhook_id']}/rotate-secret")).json()["secret"]
    await owner.client.delete("/collections/default/subjects/ada-löwe")
    await until(lambda: len(receiver.accepted) == 2)
    first, both = (Received(secret, one.headers, one.body.decode()) for one in receiver.accepted)
    message_id, now = first.headers["webhook-id"], int(time.time())
    signed = {"webhook-signature": sign_message([secret], message_id, now, b"{}")["webhook-signature"]}
    types = await asyncio.to_thread(
        verify,
        [
            first,
            both,
            replace(both, secret=rotated),
            replace(first, body=first.body.replace("ada", "eve")),
            replace(first, headers=sign_message([secret], message_id, now - 600, first.body.encode())),
            replace(first, secret=rotated),
            replace(first, secret=generate_secret()),
            replace(first, headers={**first.headers, "webhook-id": "evt_other"}),
            replace(first, headers={**first.headers, **signed}),
        ],
    )
    assert types == ["subject.created", "subject.deleted", "subject.deleted", *[None] * 6]
