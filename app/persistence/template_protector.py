"""Rotates embeddings into their stored form and back, with a cache of the tenants' rotations."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import EMBEDDING_SIZE, Embedding
from app.errors import NotReady
from app.security.keyring import Keyring
from app.security.template_protection import PURPOSE, Protection, Rotation, derive_rotation

_MAX_CACHED = 32
"""Rotations in memory, 1 MB each. Deriving one takes some tens of milliseconds."""

_MAX_INLINE = 64
"""More embeddings are rotated in a thread, so that they do not stop the event loop."""


class TemplateProtector:
    """Applies and removes template protection; one per process, used from its event loop only."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._cache: OrderedDict[tuple[UUID, bytes, str], NDArray[np.float32]] = OrderedDict()

    @property
    def current_key_id(self) -> str:
        """The id of the key that protects new galleries."""
        return self._keyring.current(PURPOSE)[0]

    async def protect(
        self, tenant_id: UUID, protection: Protection, embeddings: Sequence[Embedding]
    ) -> list[Embedding]:
        """Rotate embeddings (512,) into the form in which they are stored and compared.

        Raises `NotReady` if the protecting key is not configured; so do the other methods.
        """
        if protection.is_none or not embeddings:
            return list(embeddings)
        rotation = await self._rotation(tenant_id, protection)
        return list(np.stack(embeddings) @ rotation.T)

    async def reveal(self, tenant_id: UUID, protection: Protection, stored: Sequence[Embedding]) -> list[Embedding]:
        """Rotate stored embeddings (512,) back to the recognizer's output."""
        if protection.is_none or not stored:
            return list(stored)
        rotation = await self._rotation(tenant_id, protection)
        if len(stored) <= _MAX_INLINE:
            return list(np.stack(stored) @ rotation)
        return list(await asyncio.to_thread(lambda: np.stack(stored) @ rotation))

    async def derive_conversion(self, tenant_id: UUID, old: Protection, new: Protection) -> Rotation:
        """Derive the rotation that converts embeddings stored under `old` to the form under `new`."""
        old_rotation = await asyncio.to_thread(self._derive, tenant_id, old)
        new_rotation = await asyncio.to_thread(self._derive, tenant_id, new)
        return np.asarray(new_rotation @ old_rotation.T)

    async def _rotation(self, tenant_id: UUID, protection: Protection) -> NDArray[np.float32]:
        key = (tenant_id, protection.salt, protection.key_id)
        rotation = self._cache.get(key)
        if rotation is None:
            rotation = (await asyncio.to_thread(self._derive, tenant_id, protection)).astype(np.float32)
            self._cache[key] = rotation
            while len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return rotation

    def _derive(self, tenant_id: UUID, protection: Protection) -> Rotation:
        if protection.is_none:
            return np.eye(EMBEDDING_SIZE)
        key = self._keyring.find(PURPOSE, protection.key_id)
        if key is None:
            raise NotReady(
                f"The secret that protects these templates (key {protection.key_id}) is not configured; add it to "
                f"VULTUS_PREVIOUS_SECRET_KEYS."
            )
        return derive_rotation(key, tenant_id, protection.salt)
