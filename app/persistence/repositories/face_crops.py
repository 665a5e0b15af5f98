"""The kept pictures of stored faces, encrypted under a key of the tenant's own."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.persistence.models import FaceCropModel, PhotoModel, VideoModel
from app.persistence.repositories.base import TenantRepository
from app.security.photo_encryption import PhotoCipher


class FaceCropRepository(TenantRepository):
    """One tenant's pictures of faces; they are erased with their faces, by a trigger."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, cipher: PhotoCipher) -> None:
        super().__init__(session, tenant_id)
        self._cipher = cipher

    async def add_all(
        self, pictures: Mapping[UUID, bytes], *, photo_id: UUID | None = None, video_id: UUID | None = None
    ) -> None:
        """Store the pictures of faces of a photo or of a video, by face id."""
        rows = []
        for face_id, picture in pictures.items():
            key_id, encrypted = self._cipher.encrypt(self._tenant_id, face_id, picture)
            origin = {"photo_id": photo_id, "video_id": video_id}
            rows.append(self._row(face_id=face_id, **origin, key_id=key_id, picture=encrypted))
        if rows:
            await self._session.execute(insert(FaceCropModel), rows)

    async def find_all(self, face_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """Return the pictures (JPEG) of those faces that have one and whose key is configured."""
        statement = self._select(FaceCropModel, FaceCropModel.face_id.in_(face_ids))
        pictures = {}
        for row in await self._session.scalars(statement):
            picture = self._decrypt(row)
            if picture is not None:
                pictures[row.face_id] = picture
        return pictures

    async def find(self, collection_id: UUID, face_id: UUID) -> bytes | None:
        """Return the picture of a face of an album, as `find_all` does."""
        of_photo = (PhotoModel.id == FaceCropModel.photo_id) & self._of_tenant(PhotoModel)
        of_video = (VideoModel.id == FaceCropModel.video_id) & self._of_tenant(VideoModel)
        crop = self._select(FaceCropModel, FaceCropModel.face_id == face_id)
        crop = crop.outerjoin(PhotoModel, of_photo).outerjoin(VideoModel, of_video)
        of_album = func.coalesce(PhotoModel.collection_id, VideoModel.collection_id) == collection_id
        row = await self._session.scalar(crop.where(of_album))
        return self._decrypt(row) if row is not None else None

    def _decrypt(self, row: FaceCropModel) -> bytes | None:
        return self._cipher.decrypt(self._tenant_id, row.face_id, row.key_id, row.picture)

    async def encrypt_again(self, current_key_id: str, limit: int) -> int:
        """Encrypt up to `limit` pictures of older keys under the current one; return how many were looked at."""
        older = self._select(FaceCropModel, FaceCropModel.key_id != current_key_id)
        rows = (await self._session.scalars(older.limit(limit).with_for_update(skip_locked=True))).all()
        for row in rows:
            picture = self._decrypt(row)
            if picture is not None:
                row.key_id, row.picture = self._cipher.encrypt(self._tenant_id, row.face_id, picture)
        await self._session.flush()
        return len(rows)
