"""Remembered answers to requests with an Idempotency-Key."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, func
from sqlalchemy.dialects.postgresql import insert

from app.persistence.models import IdempotencyRecordModel
from app.persistence.repositories.base import TenantRepository

LIFETIME = timedelta(hours=24)
ERASED = 410
"""The status of an answer about somebody who was erased since."""


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """What was answered, to which request."""

    fingerprint: bytes
    status: int
    body: str


class IdempotencyRecords(TenantRepository):
    """The remembered answers of one tenant's callers."""

    async def find(self, principal: str, key: str) -> IdempotencyRecord | None:
        """The answer of the last 24 hours under this key."""
        row = await self._session.scalar(
            self._select(
                IdempotencyRecordModel,
                IdempotencyRecordModel.principal == principal,
                IdempotencyRecordModel.key == key,
                IdempotencyRecordModel.created_at > func.now() - LIFETIME,
            )
        )
        return IdempotencyRecord(row.fingerprint, row.status or 200, row.body or "") if row is not None else None

    async def remember(self, principal: str, key: str, answer: IdempotencyRecord, about: str | None) -> bool:
        """Keep an answer; False if another request under the same key was quicker (waits for it to commit)."""
        await self.forget_old()
        values = self._row(
            principal=principal,
            key=key,
            fingerprint=answer.fingerprint,
            status=answer.status,
            body=answer.body,
            about=about,
        )
        statement = insert(IdempotencyRecordModel).values(values).on_conflict_do_nothing()
        return await self._session.scalar(statement.returning(IdempotencyRecordModel.id)) is not None

    async def forget_old(self) -> None:
        """Forget every answer whose time is over."""
        await self._session.execute(
            self._delete(IdempotencyRecordModel, IdempotencyRecordModel.created_at <= func.now() - LIFETIME)
        )

    async def forget_about(self, collection: str, subject: str | None = None) -> None:
        """Empty the answers that speak of a subject, or of anybody in a collection.

        Those about all who are in a photo speak of whoever is asked for.
        That there was an answer stays: a late retry must not bring back whom somebody erased.
        """
        about = f"{collection}/{subject}" if subject is not None else f"{collection}/"
        column = IdempotencyRecordModel.about
        of_photos = about_photos(collection)
        matches = column.in_((about, of_photos)) if subject is not None else column.startswith(about, autoescape=True)
        await self._empty(matches)

    async def forget_photos(self, collection: str) -> None:
        """Empty the answers that speak of everybody in a photo."""
        await self._empty(IdempotencyRecordModel.about == about_photos(collection))

    async def _empty(self, matches: ColumnElement[bool]) -> None:
        emptied = self._update(IdempotencyRecordModel, matches).values(status=ERASED, body=None, about=None)
        await self._session.execute(emptied)


def about_photos(collection: str) -> str:
    """What an answer is about that speaks of everybody in a photo."""
    return f"{collection}/"
