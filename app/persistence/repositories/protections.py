"""Which rotation protects which of a tenant's galleries."""

import secrets
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.errors import NotReady
from app.persistence.models import GalleryModel, TemplateSaltModel
from app.persistence.repositories.base import TenantRepository
from app.security.template_protection import SALT_BYTES, UNPROTECTED, Protection


class ProtectionRepository(TenantRepository):
    """One tenant's salts. Galleries that are there keep theirs until they are rotated; new ones get the newest."""

    async def of_gallery(self, collection_id: UUID, recognizer: str, key_id: str) -> Protection:
        """The gallery's protection, or what it will have; the tenant's first salt is made with the key of this name."""
        own_salt = self._own(TemplateSaltModel) & (TemplateSaltModel.generation == GalleryModel.generation)
        row = (
            await self._session.execute(
                select(GalleryModel.generation, TemplateSaltModel.salt, TemplateSaltModel.key_id)
                .outerjoin(TemplateSaltModel, own_salt)
                .where(
                    self._own(GalleryModel),
                    GalleryModel.collection_id == collection_id,
                    GalleryModel.recognizer == recognizer,
                )
            )
        ).one_or_none()
        if row is not None:
            return _describe(row)
        # Held until the transaction ends: a rotation must not begin, nor forget this salt, before the gallery is seen.
        newest = await self._find_newest(lock="read")
        return newest or await self._begin_first(key_id)

    async def get(self, generation: int) -> Protection:
        """The protection of a generation."""
        row = await self._session.scalar(self._select(TemplateSaltModel, TemplateSaltModel.generation == generation))
        if row is None and generation:
            raise NotReady(f"The salt of generation {generation}, which protects these templates, is missing.")
        return _describe(row) if row is not None else UNPROTECTED

    async def begin(self, key_id: str) -> Protection:
        """A new salt, for new galleries from here on, and for those that are rotated to it."""
        newest = await self._find_newest(lock="write")
        return await self._add((newest.generation if newest else 0) + 1, key_id)

    async def drop_unused(self) -> None:
        """Forget the salts that protect nothing any more; the newest stays."""
        newest = await self._find_newest(lock="write")
        if newest is not None:
            used = select(GalleryModel.generation).where(self._own(GalleryModel))
            await self._session.execute(
                self._delete(
                    TemplateSaltModel,
                    TemplateSaltModel.generation < newest.generation,
                    TemplateSaltModel.generation.not_in(used),
                )
            )

    async def _begin_first(self, key_id: str) -> Protection:
        return await self._add(1, key_id)

    async def _add(self, generation: int, key_id: str) -> Protection:
        values = self._row(generation=generation, salt=secrets.token_bytes(SALT_BYTES), key_id=key_id)
        await self._session.execute(insert(TemplateSaltModel).values(values).on_conflict_do_nothing())
        newest = await self._find_newest(lock="read")
        assert newest is not None  # ours, or of whoever was quicker
        return newest

    async def _find_newest(self, *, lock: Literal["read", "write"]) -> Protection | None:
        """The newest salt, with all of the tenant's salts held against whoever would add or forget one."""
        statement = self._select(TemplateSaltModel).order_by(TemplateSaltModel.generation.desc())
        rows = list(await self._session.scalars(statement.with_for_update(read=lock == "read")))
        return _describe(rows[0]) if rows else None


def _describe(row: Any) -> Protection:
    return Protection(row.generation, row.salt or b"", row.key_id or "")
