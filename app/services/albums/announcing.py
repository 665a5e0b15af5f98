"""Describe the events of photos, and announce the end of an album's processing."""

from collections.abc import Mapping
from uuid import UUID

from app.domain.events import Event, EventType
from app.persistence.connections.database import Transaction
from app.persistence.repositories.events import EventRepository
from app.persistence.repositories.photo_turns import FinishedPhoto, PhotoTurnRepository
from app.services.albums.photo_faces import PhotoFaces


def announce_photo(album: str, found: PhotoFaces, finished: FinishedPhoto) -> Event:
    """Return the event of a processed photo; its code says why no face was found."""
    ids = {"photo_id": str(finished.id), "external_id": found.photo.external_id, "faces": finished.faces}
    return Event(EventType.PHOTO_DONE, album, ids={**ids, "code": finished.code})


def announce_failure(album: str, photo_id: UUID, code: str | None) -> Event:
    return Event(EventType.PHOTO_FAILED, album, ids={"photo_id": str(photo_id), "code": code})


async def announce_end(photos: PhotoTurnRepository, events: EventRepository, album: str, collection_id: UUID) -> None:
    """Announce that no photo of the album waits anymore.

    Call it after the photos' own events: these put concurrent workers in order.
    """
    if not await photos.has_open(collection_id):
        await events.add([Event(EventType.ALBUM_DONE, album)])


async def announce_lost(session: Transaction, tenant_id: UUID, codes: Mapping[UUID, str]) -> None:
    """Announce photos that failed because their processing was cut off too often, given by id and code."""
    if not codes:
        return
    photos, events = PhotoTurnRepository(session, tenant_id), EventRepository(session, tenant_id)
    albums = await photos.find_albums(codes)
    await events.add([announce_failure(name, photo_id, codes[photo_id]) for photo_id, (_, name) in albums.items()])
    for album_id, name in set(albums.values()):
        await announce_end(photos, events, name, album_id)
