"""Secrets of webhooks after the service secret was replaced, and old events."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import text

from app.domain.events import Event, EventType
from app.persistence.connections.database import Database
from app.persistence.repositories.events import EventRepository, prune_events
from app.persistence.repositories.webhooks import WebhookRepository, WebhookSecrets
from app.security.keyring import Keyring
from app.services.audit.trail import AuditTrails
from app.services.maintenance.template_rotation import TemplateRotation
from app.services.webhooks.secrets import WebhookCipher
from tests.integration.conftest import make_tenant

_OLD, _NEW = b"the old secret, 32 bytes or more", b"the new secret, 32 bytes or more"


async def test_a_template_rotation_encrypts_secrets_of_webhooks_again(database: Database) -> None:
    tenant_id, _ = await make_tenant(database)
    webhook_id, before = uuid4(), WebhookCipher(Keyring([_OLD]))
    async with database.transaction(tenant_id) as session:
        rows = WebhookRepository(session, tenant_id)
        secret = before.encrypt(webhook_id, "whsec_first")
        await rows.add(webhook_id, secret=secret, url="https://a.example", description="", types=[], collections=[])
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        await rows.rotate(webhook_id, before.encrypt(webhook_id, "whsec_second"), tomorrow)

    async def read(*secrets: bytes) -> tuple[str, ...]:
        async with database.transaction(tenant_id) as session:
            stored = await WebhookRepository(session, tenant_id).read_secrets(webhook_id)
        assert isinstance(stored, WebhookSecrets)
        return WebhookCipher(Keyring(secrets)).decrypt(webhook_id, stored)

    assert await read(_NEW, _OLD) == ("whsec_second", "whsec_first")
    assert await read(_NEW) == ()
    keyring = Keyring([_NEW, _OLD])
    await TemplateRotation(database, keyring, AuditTrails(keyring)).run(tenant_id)
    assert await read(_NEW) == ("whsec_second", "whsec_first")


async def test_old_events_are_deleted_and_their_readers_notice(database: Database) -> None:
    tenant_id, _ = await make_tenant(database)
    async with database.transaction(tenant_id) as session:
        events = EventRepository(session, tenant_id)
        await events.add([Event(EventType.COLLECTION_UPDATED, "default")] * 1500)
        aged = "UPDATE events SET at = at - interval '8 days' WHERE tenant_id = :id AND seq <= 1200"
        await session.execute(text(aged), {"id": tenant_id})
    assert await prune_events(database, timedelta(days=7)) >= 1200  # in more than one part
    async with database.transaction(tenant_id) as session:
        events = EventRepository(session, tenant_id)
        page = await events.list_after(0, 1000)
        assert (page.events[0].seq, len(page.events), page.is_complete) == (1201, 300, False)
        assert not (await events.list_after(1199, 1)).is_complete
        assert (await events.list_after(1200, 1)).is_complete
