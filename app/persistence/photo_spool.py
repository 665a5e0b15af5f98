"""The spool: photos that wait to be processed, encrypted, in a directory or an S3 bucket.

A photo lies there until the step that finishes it. What is to be deleted is noted in the transaction that finishes or
erases the photo (`discarded_objects`), and deleted after it.
"""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from uuid import UUID

import obstore
from obstore.exceptions import BaseError
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.errors import PhotoLost, PhotoStoreUnavailable
from app.persistence.connections.database import Database, Transaction
from app.persistence.models import DiscardedObjectModel
from app.persistence.object_address import ObjectAddress, open_store
from app.persistence.upload_forms import UploadSigner
from app.security.photo_encryption import PhotoCipher

_INLINE_BYTES = 1 << 20
"""Larger photos are encrypted in a thread."""
_PIECE_BYTES = 8 << 20
"""Of larger objects: the store's time limit holds for each piece."""
_BATCH = 500
_FAILURES = (BaseError, OSError, ValueError)


def object_key(tenant_id: UUID, photo_id: UUID) -> str:
    """Return the key under which a photo lies; the triggers of `photos` build the same (migration 0024)."""
    return f"{tenant_id}/{photo_id}"


class PhotoSpool:
    """Writes, reads and deletes waiting photos. Raises `PhotoStoreUnavailable` if the store does not work."""

    def __init__(self, address: ObjectAddress, cipher: PhotoCipher) -> None:
        self.address = address
        self.uploads = _sign_uploads(address)
        """None if the spool is a directory."""
        self._store = open_store(address)
        self._cipher = cipher

    async def put(self, tenant_id: UUID, photo_id: UUID, photo: bytes) -> str:
        """Write a photo; return the id of the service key under which it is encrypted."""
        encrypt = self._cipher.encrypt
        if len(photo) > _INLINE_BYTES:
            key_id, encrypted = await asyncio.to_thread(encrypt, tenant_id, photo_id, photo)
        else:
            key_id, encrypted = encrypt(tenant_id, photo_id, photo)
        try:
            await obstore.put_async(self._store, object_key(tenant_id, photo_id), encrypted, use_multipart=False)
        except _FAILURES as exc:
            raise PhotoStoreUnavailable from exc
        return key_id

    async def get(self, tenant_id: UUID, photo_id: UUID, key_id: str | None) -> bytes:
        """Read a photo; `key_id` is None if it is not encrypted. Raises `PhotoLost` if it is missing or unreadable."""
        try:
            found = await obstore.get_async(self._store, object_key(tenant_id, photo_id))
            stored = bytes(await found.bytes_async())
        except FileNotFoundError:
            raise PhotoLost from None
        except _FAILURES as exc:
            raise PhotoStoreUnavailable from exc
        if key_id is None:
            return stored
        photo = await asyncio.to_thread(self._cipher.decrypt, tenant_id, photo_id, key_id, stored)
        if photo is None:
            raise PhotoLost
        return photo

    async def stream(self, tenant_id: UUID, object_id: UUID) -> AsyncGenerator[bytes]:
        """Read an object that is not encrypted in pieces of 8 MiB; raises `PhotoLost` if it is missing or shrinks."""
        size = await self.measure(tenant_id, object_id)
        if size is None:
            raise PhotoLost
        key = object_key(tenant_id, object_id)
        for begin in range(0, size, _PIECE_BYTES):
            length = min(_PIECE_BYTES, size - begin)
            try:
                piece = bytes(await obstore.get_range_async(self._store, key, start=begin, length=length))
            except FileNotFoundError:
                raise PhotoLost from None
            except _FAILURES as exc:
                raise PhotoStoreUnavailable from exc
            if len(piece) != length:
                raise PhotoLost
            yield piece

    async def measure(self, tenant_id: UUID, photo_id: UUID) -> int | None:
        """Return the size of an object in bytes, or None if it is not there."""
        try:
            found = await obstore.head_async(self._store, object_key(tenant_id, photo_id))
        except FileNotFoundError:
            return None
        except _FAILURES as exc:
            raise PhotoStoreUnavailable from exc
        return found["size"]

    async def delete(self, tenant_id: UUID, photo_id: UUID) -> None:
        """Delete a photo if it is there."""
        await self._delete([object_key(tenant_id, photo_id)])

    async def discard_later(self, database: Database, tenant_id: UUID, photo_id: UUID) -> None:
        """Note that an object is to be deleted: a store that did not answer may have it, or receive it yet."""
        later = func.now() + timedelta(minutes=1)
        values = {"object_key": object_key(tenant_id, photo_id), "discarded_at": later}
        async with database.transaction() as session:
            await session.execute(insert(DiscardedObjectModel).values(values).on_conflict_do_nothing())

    async def empty(self, database: Database) -> int:
        """Delete the discarded objects; return how many. Several processes may do so at the same time."""
        deleted = 0
        while True:
            async with database.transaction() as session:
                is_due = DiscardedObjectModel.discarded_at <= func.now()
                oldest = select(DiscardedObjectModel.object_key).where(is_due)
                oldest = oldest.order_by(DiscardedObjectModel.discarded_at).limit(_BATCH)
                keys = list(await session.scalars(oldest.with_for_update(skip_locked=True)))
                if keys:
                    await self._delete(keys)
                    await _note_deleted(session, keys)
            deleted += len(keys)
            if len(keys) < _BATCH:
                return deleted

    async def count_objects(self) -> int:
        """Count everything in the spool; for tests and `vultus doctor`."""
        count = 0
        async for batch in obstore.list(self._store):
            count += len(batch)
        return count

    async def _delete(self, keys: list[str]) -> None:
        for key in keys:
            try:
                await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                continue
            except _FAILURES as exc:
                raise PhotoStoreUnavailable from exc


async def _note_deleted(session: Transaction, keys: list[str]) -> None:
    """Forget deleted objects, but for those that somebody may still upload again."""
    deleted = DiscardedObjectModel.object_key.in_(keys)
    again = DiscardedObjectModel.again_at
    await session.execute(delete(DiscardedObjectModel).where(deleted, again.is_(None)))
    later = update(DiscardedObjectModel).where(deleted).values(discarded_at=again, again_at=None)
    await session.execute(later.execution_options(synchronize_session=False))


def _sign_uploads(address: ObjectAddress) -> UploadSigner | None:
    if address.bucket is None:
        return None
    login = {"aws_access_key_id": address.access_key_id, "aws_secret_access_key": address.secret_access_key}
    return UploadSigner(
        address.bucket,
        address.prefix,
        endpoint=address.public_endpoint or address.endpoint,
        region=address.region,
        login=login,
    )
