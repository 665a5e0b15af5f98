"""List and erase the photos of an album."""

from contextlib import suppress
from uuid import UUID

from app.domain.albums import AlbumPhoto, PhotoState, StoredFacePlace
from app.errors import FaceNotFound, PhotoNotFound
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.face_crops import FaceCropRepository
from app.persistence.repositories.photos import PhotoRepository
from app.security.cursors import CursorSigner, read_number
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.paging import Page, PageRequest, bind_filters, cut_page
from app.services.people.stored_faces import PhotoFilter, StoredFaceService


class AlbumPhotoService:
    """The photos of the caller's albums, within one transaction."""

    def __init__(
        self,
        albums: AlbumRepository,
        photos: PhotoRepository,
        faces: StoredFaceService,
        crops: FaceCropRepository,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        self._albums = albums
        self._photos = photos
        self._faces = faces
        self._crops = crops
        self._cursors = cursors
        self._trail = trail

    async def get(self, name: str, external_id: str) -> AlbumPhoto:
        """Return a photo; raises `AlbumNotFound` or `PhotoNotFound`."""
        album = await self._albums.get(name)
        photo = await self._photos.find(album.collection_id, external_id)
        if photo is None:
            raise no_photo(name, external_id)
        return photo

    async def list(self, name: str, request: PageRequest, state: PhotoState | None = None) -> Page[AlbumPhoto]:
        """List one page of photos in the order of arrival, all or those in a state; raises `AlbumNotFound`."""
        album = await self._albums.get(name)
        scope = bind_filters(f"{self._photos.tenant_id}/albums/{album.collection_id}/photos", state=state)
        after = self._cursors.open(scope, request.cursor, read_number) if request.cursor else None
        found = await self._photos.list_page(album.collection_id, state, after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.seq)))

    async def find_picture(self, name: str, face_id: UUID) -> bytes | StoredFacePlace:
        """Return the kept picture of a stored face, a JPEG, or where it is in the tenant's object store.

        Raises `AlbumNotFound`, or `FaceNotFound` if the album has no such face or neither of both.
        """
        album = await self._albums.get(name)
        picture = await self._crops.find(album.collection_id, face_id)
        found = picture or await self._photos.find_stored_place(album.collection_id, face_id)
        if found is None:
            raise FaceNotFound(f"Album {name!r} keeps no picture of a face {face_id}.", field="face_id")
        return found

    async def delete(self, name: str, external_id: str) -> None:
        """Erase a photo with its faces, in whatever state it is; raises `AlbumNotFound` or `PhotoNotFound`."""
        album = await self._albums.get(name)
        found = await self._photos.find_digest(album.collection_id, external_id)
        if found is None:
            raise no_photo(name, external_id)
        photo, _ = found
        with suppress(FaceNotFound):  # it may have none
            await self._faces.erase_photo(name, PhotoFilter(image_id=photo.id))
        await self._photos.delete(photo.id)
        await self._trail.record(AuditAction.PHOTO_ERASED, f"collection:{name}", collection=name)


def no_photo(album: str, external_id: str) -> PhotoNotFound:
    """Describe that an album has no such photo."""
    return PhotoNotFound(f"Album {album!r} has no photo {external_id!r}.")
