"""Receive photos that lie in the tenant's own object store; a worker fetches each when its turn comes."""

from collections.abc import Sequence

from app.domain.albums import AlbumPhoto, PhotoState
from app.errors import AppError, PhotoExists
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.announced_photos import AnnouncedPhotoRepository, PhotoSource
from app.persistence.repositories.photos import PhotoRepository
from app.services.albums.intake import IntakeLimits, ReceivedPhoto, has_another, sent_twice, too_many_waiting
from app.services.albums.turn_requests import request_turn


class PhotoSources:
    """Receives photos of one caller's albums by their names in the tenant's object store."""

    def __init__(self, database: Database, principal: Principal, limits: IntakeLimits) -> None:
        self._database = database
        self._principal = principal
        self._limits = limits

    async def receive_each(self, name: str, objects: Sequence[tuple[str, str, str]]) -> list[ReceivedPhoto | AppError]:
        """Receive photos, given by distinct external ids, buckets and names; one that is refused yields its error.

        The same source again is not received again, unless it failed. Raises `AlbumNotFound` or `AlbumClosed`.
        """
        sources = [PhotoSource(external_id, f"{bucket}/{object_name}") for external_id, bucket, object_name in objects]
        tenant_id = self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            album = await AlbumRepository(session, tenant_id, self._principal.collections).get_open(name)
            photos = AnnouncedPhotoRepository(session, tenant_id)
            known = await photos.find_each(album.collection_id, [one.external_id for one in sources])
            results: dict[str, ReceivedPhoto | AppError | None] = {
                one.external_id: _find_known(one, known.get(one.external_id)) for one in sources
            }
            wanted = [one for one in sources if results[one.external_id] is None]
            limit = self._limits.max_waiting
            room = limit - await PhotoRepository(session, tenant_id).count_waiting(limit) if wanted else 0
            results |= {one.external_id: too_many_waiting(limit) for one in wanted[room:]}
            wanted = wanted[:room]
            await photos.delete([known[one.external_id][0].id for one in wanted if one.external_id in known])
            added = await photos.add_sources(album.collection_id, wanted)
            results |= {one: ReceivedPhoto(photo, is_new=True) for one, photo in added.items()}
            if added:
                await request_turn(session, tenant_id)
        return [results[one.external_id] or sent_twice(one.external_id) for one in sources]


def _find_known(source: PhotoSource, known: tuple[AlbumPhoto, str] | None) -> ReceivedPhoto | PhotoExists | None:
    """Return the photo that the album has, or that it has another one; None if the source is to be received."""
    if known is None or known[0].state in (PhotoState.FAILED, PhotoState.ANNOUNCED):
        return None
    if known[1] == source.source:
        return ReceivedPhoto(known[0], is_new=False)
    return has_another(source.external_id)
