"""Announce photos that callers upload to the bucket themselves, and receive them when they are there."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.albums import AlbumPhoto, PhotoState
from app.errors import AppError, PhotoExists, PhotoNotUploaded, UploadsNeedBucket
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.announced_photos import AnnouncedPhotoRepository
from app.persistence.upload_forms import UploadForm
from app.services.albums.arrivals import AnnouncedPhotos
from app.services.albums.intake import IntakeLimits, sent_twice, too_many_waiting
from app.services.albums.photos import no_photo
from app.services.photos.uploaded_objects import UploadedObjects


@dataclass(frozen=True, slots=True)
class AnnouncedPhoto:
    """A photo that may be uploaded with the form, and whether this call added it."""

    photo: AlbumPhoto
    form: UploadForm = field(repr=False)
    is_new: bool


class PhotoUploads:
    """Receives photos of one caller's albums through the bucket. The service does not encrypt these."""

    def __init__(self, database: Database, spool: PhotoSpool, principal: Principal, limits: IntakeLimits) -> None:
        self._database = database
        self._spool = spool
        self._principal = principal
        self._limits = limits
        self._uploaded = UploadedObjects(database, spool, AnnouncedPhotos(limits.max_bytes))

    async def announce(self, name: str, external_ids: Sequence[str]) -> "list[AnnouncedPhoto | AppError]":
        """Return a form for each photo, given by the caller's distinct ids; one that is refused yields its error.

        A photo that was announced before receives a new form. Raises `UploadsNeedBucket`, `AlbumNotFound`,
        `AlbumClosed`, or `PhotoStoreUnavailable`.
        """
        signer = self._spool.uploads
        if signer is None:
            await self._find(name, [])
            raise UploadsNeedBucket(
                "This server keeps waiting photos in a directory. Send the photos to POST /albums/{album}/photos, or "
                "ask the operator to set VULTUS_PHOTO_STORE to a bucket (s3://bucket/prefix)."
            )
        announced, refused, old = await self._announce(name, external_ids)
        photos = [announced[one] for one in external_ids if one in announced]
        tenant_id = self._principal.tenant_id
        forms = iter(await signer.sign(tenant_id, [photo.id for photo in photos], self._limits.max_bytes))
        return [
            AnnouncedPhoto(announced[one], next(forms), is_new=one not in old) if one in announced else refused[one]
            for one in external_ids
        ]

    async def complete(self, name: str, external_ids: Sequence[str]) -> "list[AlbumPhoto | AppError]":
        """Receive the announced photos that are in the bucket; one that is not yields `PhotoNotUploaded`.

        Raises `AlbumNotFound` or `PhotoStoreUnavailable`.
        """
        before = await self._find(name, external_ids)
        announced = [photo.id for photo in before.values() if photo.state is PhotoState.ANNOUNCED]
        arrivals = await self._uploaded.receive(self._principal.tenant_id, announced)
        after = await self._find(name, external_ids)
        results: list[AlbumPhoto | AppError] = []
        for one in external_ids:
            photo = after.get(one)
            if photo is None:
                results.append(no_photo(name, one))
            elif photo.id in arrivals.too_large:
                results.append(self._uploaded.describe_too_large())
            elif photo.state is PhotoState.ANNOUNCED:
                results.append(
                    PhotoNotUploaded(f"Photo {one!r} is not in the bucket. Upload it with the form, then try again.")
                )
            else:
                results.append(photo)
        return results

    async def _announce(
        self, name: str, external_ids: Sequence[str]
    ) -> tuple[dict[str, AlbumPhoto], dict[str, AppError], set[str]]:
        """Return the announced photos, the errors of the others, and which were announced before."""
        async with self._database.transaction(self._principal.tenant_id) as session:
            albums = AlbumRepository(session, self._principal.tenant_id, self._principal.collections)
            photos = AnnouncedPhotoRepository(session, self._principal.tenant_id)
            album = await albums.get_open(name)
            known = {
                one: photo for one, (photo, _) in (await photos.find_each(album.collection_id, external_ids)).items()
            }
            again = {one: photo for one, photo in known.items() if photo.state is PhotoState.ANNOUNCED}
            failed = [one for one, photo in known.items() if photo.state is PhotoState.FAILED]
            refused: dict[str, AppError] = {
                one: _describe_known(one, photo)
                for one, photo in known.items()
                if one not in again and one not in failed
            }
            wanted = [one for one in external_ids if one not in again and one not in refused]
            limit = self._limits.max_waiting
            room = limit - await photos.count_unfinished(limit) if wanted else 0
            refused |= {one: too_many_waiting(limit) for one in wanted[room:]}
            await photos.delete([known[one].id for one in failed if one not in refused])
            await photos.renew([photo.id for photo in again.values()])
            added = await photos.announce(album.collection_id, wanted[:room])
        refused |= {one: sent_twice(one) for one in wanted[:room] if one not in added}
        return again | added, refused, set(again)

    async def _find(self, name: str, external_ids: Sequence[str]) -> dict[str, AlbumPhoto]:
        async with self._database.transaction(self._principal.tenant_id) as session:
            album = await AlbumRepository(session, self._principal.tenant_id, self._principal.collections).get(name)
            photos = AnnouncedPhotoRepository(session, self._principal.tenant_id)
            found = await photos.find_each(album.collection_id, external_ids)
        return {one: photo for one, (photo, _) in found.items()}


def _describe_known(external_id: str, photo: AlbumPhoto) -> PhotoExists:
    return PhotoExists(
        f"external_id: the album has photo {external_id!r} already, which is {photo.state}; to replace it, delete it "
        "first.",
        field="external_id",
    )
