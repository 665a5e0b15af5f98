"""Idempotency-Key: the same request sent twice has one effect and one answer."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from pydantic import BaseModel

from app.errors import AppError, IdempotencyKeyReused, IdempotentAnswerErased
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.idempotency_records import ERASED, IdempotencyRecord, IdempotencyRecords, about_photos
from app.security.keyring import Keyring

T = TypeVar("T", bound=BaseModel | None)


class AnswerReplayed(Exception):
    """The request was answered before; whatever this one wrote is to be rolled back."""

    def __init__(self, answer: IdempotencyRecord) -> None:
        self.answer = answer
        super().__init__("answered before")


class IdempotencyService:
    """One per request; without a key it does nothing."""

    def __init__(
        self, database: Database, answers: IdempotencyRecords, principal: Principal, keyring: Keyring, key: str | None
    ) -> None:
        self._database = database
        self._idempotency_records = answers
        self._principal = principal
        self._keyring = keyring
        self._key = key

    async def once(
        self,
        request: Iterable[str | bytes],
        status: int,
        work: Callable[[], Awaitable[T]],
        *,
        about: str | None = None,
        of_photo_in: str | None = None,
    ) -> T:
        """Do the work unless this very request was answered before.

        `about` names a subject that the answer speaks of, with its collection; `of_photo_in` the collection where it
        speaks of everybody in a photo: erasing them empties it.
        `request` is everything that makes it this request. The answer is kept in the transaction of the effect, so
        there is never one without the other; of requests in parallel the first to finish wins, the others are undone
        and raise `AnswerReplayed`. Raises `IdempotencyKeyReused` for another request under the same key.
        """
        if self._key is None:
            return await work()
        fingerprints = self._fingerprints(request)
        async with self._database.transaction(self._principal.tenant_id) as session:
            # In a transaction of its own: the work may run a model first, and must hold no connection meanwhile.
            await self._replay_from(IdempotencyRecords(session, self._principal.tenant_id), fingerprints)
        try:
            result = await work()
        except AppError:
            # Perhaps the first of two parallel requests finished meanwhile, and this is its echo (say, "exists").
            await self._replay_from(self._idempotency_records, fingerprints)
            raise
        body = result.model_dump_json() if result is not None else ""
        about = about_photos(of_photo_in) if of_photo_in is not None else about
        answer = IdempotencyRecord(fingerprints[0], status, body)
        if not await self._idempotency_records.remember(self._principal.name, self._key, answer, about):
            await self._replay_from(self._idempotency_records, fingerprints)
        return result

    async def _replay_from(self, answers: IdempotencyRecords, fingerprints: list[bytes]) -> None:
        assert self._key is not None
        found = await answers.find(self._principal.name, self._key)
        if found is None:
            return
        if not any(hmac.compare_digest(found.fingerprint, known) for known in fingerprints):
            raise IdempotencyKeyReused
        if found.status == ERASED:
            raise IdempotentAnswerErased
        raise AnswerReplayed(found)

    def _fingerprints(self, request: Iterable[str | bytes]) -> list[bytes]:
        """Keyed, so that nobody can test from the table whether a certain photo was sent; one for each secret."""
        digests = [hmac.new(key, digestmod=hashlib.sha256) for key in self._keyring.all("idempotency")]
        for part in request:
            raw = part.encode() if isinstance(part, str) else part
            for digest in digests:
                digest.update(len(raw).to_bytes(8, "big") + raw)
        return [digest.digest() for digest in digests]
