"""Implement Idempotency-Key: a request sent twice has one effect and one response."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from pydantic import BaseModel

from app.errors import AppError, IdempotencyKeyReused, IdempotentAnswerErased
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.idempotency_records import (
    ERASED_STATUS,
    IdempotencyRecord,
    IdempotencyRecords,
    about_photos,
)
from app.security.keyring import Keyring

T = TypeVar("T", bound=BaseModel | None)


class ResponseReplayed(Exception):
    """A stored response replaces this request's own; everything this request wrote must be rolled back."""

    def __init__(self, record: IdempotencyRecord) -> None:
        self.record = record
        super().__init__("response replayed")


class IdempotencyService:
    """Run a request's work at most once per Idempotency-Key; one per request. Without a key, just run the work."""

    def __init__(
        self, database: Database, records: IdempotencyRecords, principal: Principal, keyring: Keyring, key: str | None
    ) -> None:
        self._database = database
        self._idempotency_records = records
        self._principal = principal
        self._keyring = keyring
        self._key = key

    async def once(
        self,
        request: Iterable[str | bytes],
        status: int | Callable[[], int],
        work: Callable[[], Awaitable[T]],
        *,
        about: str | None = None,
        of_photo_in: str | None = None,
    ) -> T:
        """Run `work` and store its response, unless a response to the same request is stored already.

        `request` holds all parts that identify the request. `status` is the response's, or tells it after the work.
        `about` names the subject in the response, as
        `collection/subject`. `of_photo_in` names the collection if the response lists all faces of a photo. Erasing
        the subject or the collection's faces redacts the stored response.

        The response is stored in the transaction of the effect, so there is never one without the other. Of parallel
        requests the first to finish wins; the others are rolled back. Raises `ResponseReplayed` with the stored
        response, `IdempotentAnswerErased` if that was redacted, or `IdempotencyKeyReused` if the key belongs to
        another request.
        """
        if self._key is None:
            return await work()
        fingerprints = self._fingerprints(request)
        async with self._database.transaction(self._principal.tenant_id) as session:
            # A separate transaction: the work may run a model first, and must hold no connection meanwhile.
            await self._replay_from(IdempotencyRecords(session, self._principal.tenant_id), fingerprints)
        try:
            result = await work()
        except AppError:
            # A parallel request with the same key may have finished meanwhile and caused this error ("exists").
            await self._replay_from(self._idempotency_records, fingerprints)
            raise
        body = result.model_dump_json() if result is not None else ""
        about = about_photos(of_photo_in) if of_photo_in is not None else about
        record = IdempotencyRecord(fingerprints[0], status() if callable(status) else status, body)
        if not await self._idempotency_records.add(self._principal.name, self._key, record, about):
            await self._replay_from(self._idempotency_records, fingerprints)
        return result

    async def _replay_from(self, records: IdempotencyRecords, fingerprints: list[bytes]) -> None:
        assert self._key is not None
        found = await records.find(self._principal.name, self._key)
        if found is None:
            return
        if not any(hmac.compare_digest(found.fingerprint, fingerprint) for fingerprint in fingerprints):
            raise IdempotencyKeyReused
        if found.status == ERASED_STATUS:
            raise IdempotentAnswerErased
        raise ResponseReplayed(found)

    def _fingerprints(self, request: Iterable[str | bytes]) -> list[bytes]:
        """Hash the request once per secret. The hashes are keyed, so the table cannot prove that a photo was sent."""
        digests = [hmac.new(key, digestmod=hashlib.sha256) for key in self._keyring.all("idempotency")]
        for part in request:
            raw = part.encode() if isinstance(part, str) else part
            for digest in digests:
                digest.update(len(raw).to_bytes(8, "big") + raw)
        return [digest.digest() for digest in digests]
