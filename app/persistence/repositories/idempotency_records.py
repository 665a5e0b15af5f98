"""Stored responses to requests with an Idempotency-Key."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, func
from sqlalchemy.dialects.postgresql import insert

from app.persistence.models import IdempotencyRecordModel
from app.persistence.repositories.base import TenantRepository

LIFETIME = timedelta(hours=24)
ERASED_STATUS = 410
"""The status of a redacted response: its subject was erased after the request."""


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """A stored response and the fingerprint of its request."""

    fingerprint: bytes
    status: int
    body: str


class IdempotencyRecords(TenantRepository):
    """The stored responses of one tenant's callers."""

    async def find(self, principal: str, key: str) -> IdempotencyRecord | None:
        """Find the response stored under this key in the last 24 hours."""
        row = await self._session.scalar(
            self._select(
                IdempotencyRecordModel,
                IdempotencyRecordModel.principal == principal,
                IdempotencyRecordModel.key == key,
                IdempotencyRecordModel.created_at > func.now() - LIFETIME,
            )
        )
        return IdempotencyRecord(row.fingerprint, row.status or 200, row.body or "") if row is not None else None

    async def add(self, principal: str, key: str, record: IdempotencyRecord, about: str | None) -> bool:
        """Store a response; `about` is the collection or subject in it.

        Waits for a concurrent request under the same key; returns False if that one stored its response.
        """
        await self.delete_expired()
        values = self._row(
            principal=principal,
            key=key,
            fingerprint=record.fingerprint,
            status=record.status,
            body=record.body,
            about=about,
        )
        statement = insert(IdempotencyRecordModel).values(values).on_conflict_do_nothing()
        return await self._session.scalar(statement.returning(IdempotencyRecordModel.id)) is not None

    async def delete_expired(self) -> None:
        """Delete responses older than 24 hours."""
        await self._session.execute(
            self._delete(IdempotencyRecordModel, IdempotencyRecordModel.created_at <= func.now() - LIFETIME)
        )

    async def redact_about(self, collection: str, subject: str | None = None) -> None:
        """Redact the responses about a subject, or about a whole collection.

        Responses about a whole photo are redacted too, since they may name any subject. The records themselves stay: a
        late retry must not register an erased subject again.
        """
        about = f"{collection}/{subject}" if subject is not None else f"{collection}/"
        column = IdempotencyRecordModel.about
        of_photos = about_photos(collection)
        matches = column.in_((about, of_photos)) if subject is not None else column.startswith(about, autoescape=True)
        await self._redact(matches)

    async def redact_photos(self, collection: str) -> None:
        """Redact the responses about a whole photo."""
        await self._redact(IdempotencyRecordModel.about == about_photos(collection))

    async def _redact(self, matches: ColumnElement[bool]) -> None:
        statement = self._update(IdempotencyRecordModel, matches)
        await self._session.execute(statement.values(status=ERASED_STATUS, body=None, about=None))


def about_photos(collection: str) -> str:
    """Return the `about` value of responses about a whole photo in this collection."""
    return f"{collection}/"
