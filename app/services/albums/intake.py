"""Receive photos: write each to the spool, then note it and the tenant's turn in one transaction."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from app.domain.albums import Album, AlbumPhoto, PhotoState
from app.errors import AppError, ImageEmpty, ImageTooLarge, PhotoExists, PhotoStoreUnavailable, TooManyPhotosWaiting
from app.permissions import Principal
from app.persistence.connections.database import Database, Transaction
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.photos import PhotoRepository
from app.security.image_digests import image_digests
from app.security.keyring import Keyring
from app.services.albums.turn_requests import request_turn
from app.services.background import log_and_continue


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """The largest photo in bytes, and how many photos of a tenant may wait."""

    max_bytes: int
    max_waiting: int


@dataclass(frozen=True, slots=True)
class ReceivedPhoto:
    """A photo of an album, and whether this call added it: the same photo sent again is not added twice."""

    photo: AlbumPhoto
    is_new: bool


class PhotoIntake:
    """Receives the photos of one caller's albums. It holds no transaction while it writes to the spool."""

    def __init__(
        self, database: Database, spool: PhotoSpool, keyring: Keyring, principal: Principal, limits: IntakeLimits
    ) -> None:
        self._database = database
        self._spool = spool
        self._keyring = keyring
        self._principal = principal
        self._limits = limits

    async def receive(self, name: str, external_id: str, image: bytes) -> ReceivedPhoto:
        """Receive a photo under the caller's id for it.

        The same photo again is not received again, unless it failed. Raises `AlbumNotFound`, `AlbumClosed`,
        `PhotoExists` if the id has another photo, `ImageEmpty`, `ImageTooLarge`, `TooManyPhotosWaiting`, or
        `PhotoStoreUnavailable`.
        """
        self._check_size(image)
        async with self._transaction() as (albums, photos, _):
            album = await albums.get_open(name)
            digests = self._digests(album, image)
            known = await photos.find_digest(album.collection_id, external_id)
            if known is not None and not _must_receive_again(known, digests, external_id):
                return ReceivedPhoto(known[0], is_new=False)
            await self._check_waiting(photos)
        photo_id = uuid4()
        try:
            key_id = await self._spool.put(self._principal.tenant_id, photo_id, image)
            received = await self._add(name, external_id, photo_id, key_id, digests)
            if not received.is_new:  # sent twice at the same time
                await self._spool.delete(self._principal.tenant_id, photo_id)
        except PhotoStoreUnavailable:
            with log_and_continue("photo_not_discarded"):
                await self._spool.discard_later(self._database, self._principal.tenant_id, photo_id)
            raise
        except BaseException:
            with log_and_continue("photo_not_discarded"):
                await self._spool.delete(self._principal.tenant_id, photo_id)
            raise
        else:
            return received

    async def receive_each(self, name: str, images: "list[tuple[str, bytes]]") -> "list[ReceivedPhoto | AppError]":
        """Receive photos, given with the caller's ids; one that is refused yields its error.

        Errors that affect all of them, such as `AlbumNotFound`, are raised.
        """
        received: list[ReceivedPhoto | AppError] = []
        for external_id, image in images:
            try:
                received.append(await self.receive(name, external_id, image))
            except (ImageEmpty, ImageTooLarge, PhotoExists, TooManyPhotosWaiting) as exc:
                received.append(exc)
        return received

    async def retry(self, name: str) -> int:
        """Process again what failed for a reason that may pass; return the number. Raises `AlbumNotFound`."""
        async with self._transaction() as (albums, photos, session):
            album = await albums.get(name)
            retried = await photos.retry(album.collection_id)
            if retried:
                await request_turn(session, self._principal.tenant_id)
        return retried

    async def _add(
        self, name: str, external_id: str, photo_id: UUID, key_id: str, digests: list[bytes]
    ) -> ReceivedPhoto:
        async with self._transaction() as (albums, photos, session):
            album = await albums.get_open(name)
            known = await photos.find_digest(album.collection_id, external_id)
            if known is not None:
                if not _must_receive_again(known, digests, external_id):
                    return ReceivedPhoto(known[0], is_new=False)
                await photos.delete(known[0].id)  # it failed or never came, so it has no faces
            added = await photos.add(photo_id, album.collection_id, external_id, key_id=key_id, digest=digests[0])
            if added is None:
                raise sent_twice(external_id)
            await request_turn(session, self._principal.tenant_id)
        return ReceivedPhoto(added, is_new=True)

    async def _check_waiting(self, photos: PhotoRepository) -> None:
        limit = self._limits.max_waiting
        if await photos.count_waiting(limit) >= limit:
            raise too_many_waiting(limit)

    def _check_size(self, image: bytes) -> None:
        if not image:
            raise ImageEmpty
        if len(image) > self._limits.max_bytes:
            raise ImageTooLarge(f"The image has {len(image)} bytes; at most {self._limits.max_bytes} are allowed.")

    def _digests(self, album: Album, image: bytes) -> list[bytes]:
        about = (str(self._principal.tenant_id), "album", str(album.collection_id))
        return image_digests(self._keyring, about, image)

    def _transaction(self) -> "_IntakeTransaction":
        return _IntakeTransaction(self._database, self._principal)


class _IntakeTransaction:
    """Opens the repositories of one transaction."""

    def __init__(self, database: Database, principal: Principal) -> None:
        self._tenant_id = principal.tenant_id
        self._only = principal.collections
        self._opened = database.transaction(principal.tenant_id)

    async def __aenter__(self) -> tuple[AlbumRepository, PhotoRepository, Transaction]:
        session = await self._opened.__aenter__()
        albums = AlbumRepository(session, self._tenant_id, self._only)
        return albums, PhotoRepository(session, self._tenant_id), session

    async def __aexit__(self, *error: object) -> bool | None:
        return await self._opened.__aexit__(*error)  # type: ignore[arg-type]


def too_many_waiting(limit: int) -> TooManyPhotosWaiting:
    """Describe that as many of a tenant's photos wait as may."""
    return TooManyPhotosWaiting(
        f"{limit} of your photos wait to be processed, which is the limit. Send more when some are done.",
        retry_after_s=10,
    )


def has_another(external_id: str) -> PhotoExists:
    """Describe that the album has another photo with the same id."""
    return PhotoExists(
        f"external_id: the album has another photo {external_id!r}; delete it first, or choose another id.",
        field="external_id",
    )


def sent_twice(external_id: str) -> PhotoExists:
    """Describe that two calls added a photo with the same id at the same time."""
    return PhotoExists(f"external_id: {external_id!r} was sent twice at the same time; send it again.")


def _must_receive_again(known: tuple[AlbumPhoto, bytes | None], digests: list[bytes], external_id: str) -> bool:
    """Return whether a photo with the same id failed or never came; raises `PhotoExists` if it has another content."""
    photo, digest = known
    if photo.state in (PhotoState.FAILED, PhotoState.ANNOUNCED):
        return True
    if digest not in digests:
        raise has_another(external_id)
    return False
