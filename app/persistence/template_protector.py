"""Turns embeddings into what is stored, and back: with each tenant's rotation, derived once and kept for a while."""

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

_MAX_KEPT = 32
"""Rotations in memory, 1 MB each; deriving one takes some tens of milliseconds."""


class TemplateProtector:
    """One per process; used from its loop only."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._kept: OrderedDict[tuple[UUID, bytes, str], NDArray[np.float32]] = OrderedDict()

    @property
    def current_key_id(self) -> str:
        """The key that new salts are used with."""
        return self._keyring.current(PURPOSE)[0]

    async def protect(
        self, tenant_id: UUID, protection: Protection, embeddings: Sequence[Embedding]
    ) -> list[Embedding]:
        """Each embedding as it is stored, or compared with what is."""
        if protection.is_none or not embeddings:
            return list(embeddings)
        rotation = await self._rotation(tenant_id, protection)
        return list(np.stack(embeddings) @ rotation.T)

    async def reveal(self, tenant_id: UUID, protection: Protection, stored: Sequence[Embedding]) -> list[Embedding]:
        """Each stored embedding as the recognizer made it."""
        if protection.is_none or not stored:
            return list(stored)
        rotation = await self._rotation(tenant_id, protection)
        return list(np.stack(stored) @ rotation)

    async def change(self, tenant_id: UUID, old: Protection, new: Protection) -> Rotation:
        """What turns embeddings stored under one protection into those under another."""
        first = await asyncio.to_thread(self._derive, tenant_id, old)
        second = await asyncio.to_thread(self._derive, tenant_id, new)
        return np.asarray(second @ first.T)

    async def _rotation(self, tenant_id: UUID, protection: Protection) -> NDArray[np.float32]:
        key = (tenant_id, protection.salt, protection.key_id)
        kept = self._kept.get(key)
        if kept is None:
            kept = (await asyncio.to_thread(self._derive, tenant_id, protection)).astype(np.float32)
            self._kept[key] = kept
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return kept

    def _derive(self, tenant_id: UUID, protection: Protection) -> Rotation:
        if protection.is_none:
            return np.eye(EMBEDDING_SIZE)
        key = self._keyring.find(PURPOSE, protection.key_id)
        if key is None:
            raise NotReady(
                f"The secret that protects these templates (key {protection.key_id}) is not at hand: it belongs into "
                f"VULTUS_PREVIOUS_SECRET_KEYS."
            )
        return derive_rotation(key, tenant_id, protection.salt)
