"""A tenant's webhooks, with their encrypted secrets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from app.domain.events import DisabledBecause, Webhook
from app.persistence.models import WebhookModel
from app.persistence.repositories.base import TenantRepository, page_by_creation


@dataclass(frozen=True, slots=True)
class EncryptedSecret:
    """A secret, encrypted under the service key with id `key_id`."""

    key_id: str
    encrypted: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """The secret of a webhook, and the previous one while it is still used as well."""

    current: EncryptedSecret
    previous: EncryptedSecret | None = None


class WebhookRepository(TenantRepository):
    """One tenant's webhooks."""

    async def count(self) -> int:
        """Count the webhooks, and lock their number until the transaction ends."""
        number = func.hashtextextended(f"webhooks/{self._tenant_id}", 0)
        await self._session.execute(select(func.pg_advisory_xact_lock(number)))
        rows = select(func.count()).select_from(WebhookModel).where(self._of_tenant(WebhookModel))
        return await self._session.scalar(rows) or 0

    async def add(
        self,
        webhook_id: UUID,
        *,
        secret: EncryptedSecret,
        url: str,
        description: str,
        types: Sequence[str],
        collections: Sequence[str],
    ) -> Webhook:
        row = WebhookModel(
            **self._row(
                id=webhook_id,
                url=url,
                description=description,
                types=list(types),
                collections=list(collections),
                key_id=secret.key_id,
                secret_encrypted=secret.encrypted,
            )
        )
        self._session.add(row)
        await self._session.flush()
        await self._session.refresh(row)
        return describe_webhook(row)

    async def find(self, webhook_id: UUID) -> Webhook | None:
        row = await self._session.scalar(self._select(WebhookModel, WebhookModel.id == webhook_id))
        return describe_webhook(row) if row is not None else None

    async def read_secrets(self, webhook_id: UUID) -> WebhookSecrets | None:
        """Return the secrets with which messages are signed now."""
        row = await self._session.scalar(self._select(WebhookModel, WebhookModel.id == webhook_id))
        now = await self._session.scalar(select(func.now()))
        return _describe_secrets(row, now) if row is not None and now is not None else None

    async def list_secrets(self) -> list[tuple[UUID, WebhookSecrets]]:
        """List the ids of all webhooks with the secrets with which messages are signed now."""
        rows = list(await self._session.scalars(self._select(WebhookModel)))
        now = await self._session.scalar(select(func.now()))
        return [(row.id, _describe_secrets(row, now)) for row in rows if now is not None]

    async def replace_secrets(self, webhook_id: UUID, old: WebhookSecrets, new: WebhookSecrets) -> None:
        """Replace the encrypted secrets unless they were changed meanwhile."""
        is_it = (WebhookModel.id == webhook_id, WebhookModel.secret_encrypted == old.current.encrypted)
        previous = {}
        if new.previous is not None:
            previous = {"previous_key_id": new.previous.key_id, "previous_encrypted": new.previous.encrypted}
        current = {"key_id": new.current.key_id, "secret_encrypted": new.current.encrypted}
        await self._session.execute(self._update(WebhookModel, *is_it).values(**current, **previous))

    async def list_page(self, after: tuple[datetime, UUID] | None, limit: int) -> list[Webhook]:
        """List up to `limit` webhooks after a creation time and id, oldest first."""
        rows = await self._session.scalars(page_by_creation(self._select(WebhookModel), WebhookModel, after, limit))
        return [describe_webhook(row) for row in rows]

    async def change(self, webhook_id: UUID, values: dict[str, Any]) -> None:
        """Write columns of a webhook."""
        if values:
            await self._session.execute(self._update(WebhookModel, WebhookModel.id == webhook_id).values(**values))

    async def disable(self, webhook_id: UUID, because: DisabledBecause) -> bool:
        """Send the webhook nothing from now on; return False if that is so already."""
        is_enabled = WebhookModel.is_enabled.is_(True)
        values = {"is_enabled": False, "disabled_because": because.value}
        statement = self._update(WebhookModel, WebhookModel.id == webhook_id, is_enabled).values(**values)
        return await self._session.scalar(statement.returning(WebhookModel.id)) is not None

    async def rotate(self, webhook_id: UUID, secret: EncryptedSecret, previous_until: datetime) -> None:
        """Replace the secret; the one until now signs as well until a time."""
        statement = self._update(WebhookModel, WebhookModel.id == webhook_id).values(
            previous_key_id=WebhookModel.key_id,
            previous_encrypted=WebhookModel.secret_encrypted,
            previous_until=previous_until,
            key_id=secret.key_id,
            secret_encrypted=secret.encrypted,
            resume_at=func.now(),  # a server that could not read the former secret had paused
        )
        await self._session.execute(statement)

    async def delete(self, webhook_id: UUID) -> bool:
        """Delete a webhook with its deliveries; return False if there is none."""
        statement = self._delete(WebhookModel, WebhookModel.id == webhook_id).returning(WebhookModel.id)
        return await self._session.scalar(statement) is not None


def _describe_secrets(row: WebhookModel, now: datetime) -> WebhookSecrets:
    previous = None
    if row.previous_until is not None and row.previous_until > now:
        previous = EncryptedSecret(row.previous_key_id or "", row.previous_encrypted or b"")
    return WebhookSecrets(EncryptedSecret(row.key_id, row.secret_encrypted), previous)


def describe_webhook(row: WebhookModel) -> Webhook:
    return Webhook(
        row.id,
        row.created_at,
        row.url,
        row.description,
        tuple(row.types),
        tuple(row.collections),
        row.is_enabled,
        DisabledBecause(row.disabled_because) if row.disabled_because else None,
        row.failing_since,
    )
