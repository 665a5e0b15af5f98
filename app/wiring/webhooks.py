"""Build what delivers events to webhooks in this process."""

from datetime import timedelta

from app.persistence.connections.database import Database, driver_address
from app.persistence.job_queue import JobWorker
from app.security.keyring import Keyring
from app.services.audit.trail import AuditTrails
from app.services.webhooks.secrets import WebhookCipher
from app.services.webhooks.sending import WebhookSender
from app.services.webhooks.slots import TurnSlots
from app.services.webhooks.turns import WebhookTurns
from app.services.webhooks.worker import WebhookWorker
from app.settings import Settings


def build_webhook_worker(
    settings: Settings,
    database: Database,
    service_address: str,
    sender: WebhookSender,
    keyring: Keyring,
    trails: AuditTrails,
) -> WebhookWorker:
    """Build the worker; `service_address` is the database's, for the service's own login."""
    jobs = JobWorker(
        driver_address(service_address),
        concurrency=settings.webhook_turns,
        behind_pgbouncer=settings.database_pgbouncer,
    )
    turns = WebhookTurns(database, sender, WebhookCipher(keyring), trails, TurnSlots(settings.webhook_turns))
    return WebhookWorker(database, jobs, turns, keep=timedelta(days=settings.event_days))
