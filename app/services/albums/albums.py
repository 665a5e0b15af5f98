"""Create, list, change and erase albums."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.domain.albums import Album, Keep, PhotoCounts
from app.persistence.repositories.album_people import AlbumPeopleRepository
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.policies import PolicyRepository
from app.security.cursors import CursorSigner, read_text
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.collections.collections import CollectionService
from app.services.collections.lookup import CollectionLookup
from app.services.paging import Page, PageRequest, cut_page
from app.services.people.rules import refuse_past_expiry, refuse_shorter_expiry

DEFAULT_LIFETIME_DAYS = 90


@dataclass(frozen=True, slots=True)
class CountedAlbum:
    """An album and its photos by state."""

    album: Album
    counts: PhotoCounts
    people: list[str]
    """The collections whose people are looked for in it."""


@dataclass(frozen=True, slots=True)
class AlbumChange:
    """What to change of an album; None leaves a value as it is."""

    title: str | None = None
    expected: int | None = None
    expires_at: datetime | None = None
    is_closed: bool | None = None
    people: Sequence[str] | None = None


class AlbumService:
    """Manage the albums of the caller's tenant, within one transaction.

    An album is a collection with photos: its faces are found, exported, rotated and erased like any others.
    """

    def __init__(
        self,
        albums: AlbumRepository,
        collections: CollectionService,
        policies: PolicyRepository,
        cursors: CursorSigner,
        trail: AuditTrail,
        looked_for: AlbumPeopleRepository,
        lookup: CollectionLookup,
        *,
        may_delete: bool,
    ) -> None:
        self._may_delete = may_delete
        self._looked_for = looked_for
        self._lookup = lookup
        self._albums = albums
        self._collections = collections
        self._policies = policies
        self._cursors = cursors
        self._trail = trail

    async def create(
        self,
        name: str,
        *,
        title: str | None,
        keep: Keep,
        expected: int | None,
        expires_at: datetime | None,
        people: Sequence[str] = (),
    ) -> CountedAlbum:
        """Create an album and its collection.

        `people` names the collections whose people are looked for in the photos. Raises `CollectionNotFound` for an
        unknown one, `CollectionExists`, `QuotaExceeded`, `InvalidParameter` for an end in the past, or
        `PermissionDenied` for a key limited to other collections.
        """
        refuse_past_expiry(expires_at)
        created = await self._collections.create(name)
        if expires_at is None:
            policy = await self._policies.get()
            expires_at = datetime.now(UTC) + timedelta(days=policy.retention_days or DEFAULT_LIFETIME_DAYS)
        await self._albums.add(created.id, title=title, keep=keep, expected=expected, expires_at=expires_at)
        await self._look_for(created.id, people)
        await self._trail.record(AuditAction.ALBUM_CREATED, f"collection:{name}", keep=keep.value)
        return await self.get(name)

    async def get(self, name: str) -> CountedAlbum:
        """Return an album with its photos by state; raises `AlbumNotFound`."""
        return (await self._count([await self._albums.get(name)]))[0]

    async def change(self, name: str, change: AlbumChange) -> CountedAlbum:
        """Change an album; closing it stops new photos, not those that wait.

        Raises `AlbumNotFound`, `InvalidParameter` for an end in the past, or `PermissionDenied` for an earlier end if
        the caller may not delete.
        """
        album = await self._albums.get(name)
        refuse_past_expiry(change.expires_at)
        if not self._may_delete:
            refuse_shorter_expiry(album.expires_at, change.expires_at)
        values: dict[str, object] = {
            field: value
            for field in ("title", "expected", "expires_at")
            if (value := getattr(change, field)) is not None
        }
        if change.is_closed is not None:
            values["closed_at"] = (album.closed_at or datetime.now(UTC)) if change.is_closed else None
        if change.people is not None:
            await self._look_for(album.collection_id, change.people)
        if values:
            await self._albums.update(album.collection_id, values)
        fields = sorted([*values, *(["people"] if change.people is not None else [])])
        if fields:
            await self._trail.record(AuditAction.ALBUM_CHANGED, f"collection:{name}", fields=fields)
        return await self.get(name)

    async def delete(self, name: str) -> None:
        """Erase an album with its photos, their faces and its collection; raises `AlbumNotFound`."""
        await self._albums.get(name)
        await self._collections.delete(name)

    async def _count(self, albums: Sequence[Album]) -> Sequence[CountedAlbum]:
        counts = await self._albums.count_photos([album.collection_id for album in albums])
        people = await self._looked_for.list_names(list(counts))
        return [CountedAlbum(album, counts[album.collection_id], people[album.collection_id]) for album in albums]

    async def _look_for(self, album_id: UUID, people: Sequence[str]) -> None:
        await self._looked_for.replace(album_id, [await self._lookup.find_id(name) for name in people])

    async def list(self, request: PageRequest) -> Page[CountedAlbum]:
        """List one page of albums, by name."""
        scope = f"{self._albums.tenant_id}/albums"
        after = self._cursors.open(scope, request.cursor, read_text) if request.cursor else None
        found = await self._albums.list_page(after, request.limit + 1)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, last.name))
        return Page([*await self._count(page.items)], page.next_cursor)
