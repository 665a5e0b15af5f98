"""Template protection of a tenant's galleries: the salts of their rotations, by generation."""

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
    """One tenant's salts. New galleries get the newest salt; existing ones keep theirs until they are rotated."""

    async def get_for_gallery(self, collection_id: UUID, recognizer: str, key_id: str) -> Protection:
        """Return a gallery's protection; for a new gallery the newest one, locked until the transaction ends.

        If the tenant has no salt yet, this creates one, bound to the service key `key_id`.
        """
        own_salt = self._of_tenant(TemplateSaltModel) & (TemplateSaltModel.generation == GalleryModel.generation)
        row = (
            await self._session.execute(
                select(GalleryModel.generation, TemplateSaltModel.salt, TemplateSaltModel.key_id)
                .outerjoin(TemplateSaltModel, own_salt)
                .where(
                    self._of_tenant(GalleryModel),
                    GalleryModel.collection_id == collection_id,
                    GalleryModel.recognizer == recognizer,
                )
            )
        ).one_or_none()
        if row is not None:
            return _describe(row)
        # The lock keeps a rotation from starting, or from deleting this salt, before it can see the new gallery.
        newest = await self._find_newest(lock="read")
        return newest or await self._add(1, key_id)

    async def get(self, generation: int) -> Protection:
        """Return the protection of a generation; raises `NotReady` if its salt is missing."""
        row = await self._session.scalar(self._select(TemplateSaltModel, TemplateSaltModel.generation == generation))
        if row is None and generation:
            raise NotReady(
                f"The salt of generation {generation}, which protects these templates, is missing from the database; "
                f"restore the table template_salts from a backup."
            )
        return _describe(row) if row is not None else UNPROTECTED

    async def add(self, key_id: str) -> Protection:
        """Add a new generation with a new salt, for new galleries and for galleries that are rotated to it."""
        newest = await self._find_newest(lock="write")
        return await self._add((newest.generation if newest else 0) + 1, key_id)

    async def delete_unused(self) -> None:
        """Delete the salts that no gallery uses, except the newest."""
        newest = await self._find_newest(lock="write")
        if newest is not None:
            used = select(GalleryModel.generation).where(self._of_tenant(GalleryModel))
            await self._session.execute(
                self._delete(
                    TemplateSaltModel,
                    TemplateSaltModel.generation < newest.generation,
                    TemplateSaltModel.generation.not_in(used),
                )
            )

    async def _add(self, generation: int, key_id: str) -> Protection:
        values = self._row(generation=generation, salt=secrets.token_bytes(SALT_BYTES), key_id=key_id)
        await self._session.execute(insert(TemplateSaltModel).values(values).on_conflict_do_nothing())
        newest = await self._find_newest(lock="read")
        assert newest is not None  # inserted here or by a concurrent transaction
        return newest

    async def _find_newest(self, *, lock: Literal["read", "write"]) -> Protection | None:
        """Find the newest salt, and lock all of the tenant's salts until the transaction ends."""
        statement = self._select(TemplateSaltModel).order_by(TemplateSaltModel.generation.desc())
        rows = list(await self._session.scalars(statement.with_for_update(read=lock == "read")))
        return _describe(rows[0]) if rows else None


def _describe(row: Any) -> Protection:
    return Protection(row.generation, row.salt or b"", row.key_id or "")
