"""Albums: upload thousands of photos, watch them, and find somebody's photos by a selfie."""

import builtins
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from vultus_client._async.concurrency import in_thread, run_all, sleep
from vultus_client._async.transport import AsyncResource
from vultus_client.calls import Call, body, keyed, list_photos, path, reading
from vultus_client.errors import ApiError
from vultus_client.models import (
    AlbumLinkOut,
    AlbumOut,
    AlbumPhotoOut,
    AlbumSearchOut,
    ClusterOut,
    IssuedAlbumLinkOut,
    ReceivedPhotoOut,
    RetriedOut,
    SightingOut,
)
from vultus_client.photos import Photo, is_url, read_photo
from vultus_client.uploads import Upload, is_of_photo, name_photos

_POLL_S = 1.0


class AsyncAlbums(AsyncResource):
    """Collections whose faces come from photos that workers process."""

    async def create(
        self,
        album: str,
        *,
        title: str | None = None,
        keep: Literal["nothing", "crops"] | None = None,
        expected: int | None = None,
        expires_at: datetime | None = None,
        people: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> AlbumOut:
        """Create an album. `people`: collections whose people are looked for in its photos."""
        names = None if people is None else [*people]
        sent = body(id=album, title=title, keep=keep, expected=expected, expires_at=expires_at, people=names)
        return await self._send(keyed(Call[AlbumOut]("POST", "/albums", body=sent), idempotency_key))

    def list(self) -> AsyncIterator[AlbumOut]:
        """Yield all albums."""
        return self._pages(Call[AlbumOut]("GET", "/albums"))

    async def get(self, album: str) -> AlbumOut:
        """Return an album with the counts of its photos."""
        return await self._send(Call[AlbumOut]("GET", path("albums", album)))

    async def change(self, album: str, changes: Mapping[str, Any]) -> AlbumOut:
        """Change `title`, `expected`, `expires_at`, `closed` or `people`; setting the same twice does no harm."""
        call = Call[AlbumOut]("PATCH", path("albums", album), body=body(**changes), can_repeat=True)
        return await self._send(call)

    async def delete(self, album: str) -> None:
        """Erase an album with all its faces."""
        await self._send(keyed(Call[None]("DELETE", path("albums", album))))

    async def put(self, album: str, external_id: str, photo: Photo) -> ReceivedPhotoOut:
        """Add a photo under your id. The same photo again does nothing."""
        where = path("albums", album, "photos", external_id)
        if is_url(photo):
            return await self._send(Call[ReceivedPhotoOut]("PUT", where, body={"image_url": photo}))
        part = await in_thread(read_photo, photo)
        return await self._send(Call[ReceivedPhotoOut]("PUT", where, files=[("image", part)]))

    async def upload(
        self,
        album: str,
        photos: str | os.PathLike[str] | Mapping[str, Photo] | Iterable[Path],
        *,
        at_once: int = 4,
        on_photo: Callable[[str], None] | None = None,
    ) -> Upload:
        """Send the photos that the album lacks, and those that failed there, `at_once` at a time.

        `photos` is a directory, whose photos get their paths below it as ids; paths, with their names as ids; or photos
        by your ids. Repeat the call after an interruption: it continues. Photos that the server refuses are in
        `refused`; anything else that goes wrong is raised. `on_photo` gets the id of each photo that was sent.
        """
        named = await in_thread(name_photos, photos)
        known = {one["external_id"] async for one in self.photos(album) if one["state"] != "failed"}
        done = Upload(skipped=sorted(known & named.keys()))

        async def send(external_id: str) -> None:
            try:
                await self.put(album, external_id, named[external_id])
            except ApiError as exc:
                if not is_of_photo(exc):
                    raise
                done.refused[external_id] = exc
            else:
                done.sent.append(external_id)
                if on_photo is not None:
                    on_photo(external_id)

        await run_all(send, [one for one in named if one not in known], at_once)
        return done

    async def wait(self, album: str, *, timeout_s: float | None = None) -> AlbumOut:
        """Wait until no photo of the album waits. Raises `TimeoutError`."""
        begun = time.monotonic()
        while True:
            found = await self.get(album)
            if not found["photos"]["received"] + found["photos"]["working"]:
                return found
            if timeout_s is not None and time.monotonic() - begun > timeout_s:
                raise TimeoutError(f"photos of {album} still wait after {timeout_s:g} s: is a worker running?")
            await sleep(_POLL_S)

    def photos(self, album: str, *, state: str | None = None) -> AsyncIterator[AlbumPhotoOut]:
        """Yield the photos of an album, or those in one state, in the order of arrival."""
        return self._pages(Call[AlbumPhotoOut]("GET", path("albums", album, "photos"), query={"state": state}))

    async def photo(self, album: str, external_id: str) -> AlbumPhotoOut:
        """Return the state of one photo."""
        return await self._send(Call[AlbumPhotoOut]("GET", path("albums", album, "photos", external_id)))

    async def delete_photo(self, album: str, external_id: str) -> None:
        """Erase one photo with its faces."""
        await self._send(Call[None]("DELETE", path("albums", album, "photos", external_id)))

    async def retry(self, album: str) -> RetriedOut:
        """Process again what failed for a reason that may pass."""
        return await self._send(Call[RetriedOut]("POST", path("albums", album, "retry"), can_repeat=True))

    async def search(
        self,
        album: str,
        selfies: Photo | Sequence[Photo],
        *,
        match: Literal["any", "all"] | None = None,
        decision: Literal["match", "review"] | None = None,
        threshold: float | None = None,
    ) -> AlbumSearchOut:
        """Find every photo that shows somebody, by up to five selfies; the answer has the items of all pages."""
        fields = {"match": match, "decision": decision, "threshold": threshold, "limit": 1000}
        return await self._search(path("albums", album, "search"), list_photos(selfies), fields)

    async def search_people(
        self,
        album: str,
        people: Iterable[tuple[str, str]],
        *,
        match: Literal["any", "all"] | None = None,
        decision: Literal["match", "review"] | None = None,
    ) -> AlbumSearchOut:
        """Find every photo that shows registered people, each a collection and a subject."""
        sent = body(match=match, decision=decision, limit=1000)
        sent["people"] = [{"collection": collection, "subject": subject} for collection, subject in people]
        found: AlbumSearchOut | None = None
        while found is None or found["next_cursor"] is not None:
            asked = {**sent, "cursor": found["next_cursor"]} if found is not None else sent
            where = path("albums", album, "search", "people")
            page = await self._send(Call[AlbumSearchOut]("POST", where, body=asked, can_repeat=True))
            found = page if found is None else {**page, "items": found["items"] + page["items"]}
        return found

    async def _search(self, where: str, images: builtins.list[Photo], fields: dict[str, Any]) -> AlbumSearchOut:
        images = [one if is_url(one) else (await in_thread(read_photo, one))[1] for one in images]
        found: AlbumSearchOut | None = None
        while found is None or found["next_cursor"] is not None:
            cursor = found["next_cursor"] if found is not None else None
            call: Call[AlbumSearchOut] = reading(where, {"images": images}, **fields, cursor=cursor)
            page = await self._send(call)
            found = page if found is None else {**page, "items": found["items"] + page["items"]}
        return found

    def sightings(self, album: str, *, state: str | None = None) -> AsyncIterator[SightingOut]:
        """Yield who was seen in the album's photos."""
        return self._pages(Call[SightingOut]("GET", path("albums", album, "sightings"), query={"state": state}))

    def clusters(self, album: str) -> AsyncIterator[ClusterOut]:
        """Yield groups of unknown faces that probably show one person, the largest first."""
        return self._pages(Call[ClusterOut]("GET", path("albums", album, "clusters")))

    async def picture(self, album: str, face_id: str) -> bytes:
        """Return the picture of a face as JPEG, in an album with `keep="crops"`."""
        return await self._send(Call[bytes]("GET", path("albums", album, "faces", face_id, "picture")))

    async def issue_link(
        self,
        album: str,
        *,
        label: str | None = None,
        consent_text: str | None = None,
        rate: str | None = None,
        expires_at: datetime | None = None,
    ) -> IssuedAlbumLinkOut:
        """Create a link by which guests search an album with their own selfie."""
        sent = body(label=label, consent_text=consent_text, rate=rate, expires_at=expires_at)
        return await self._send(Call[IssuedAlbumLinkOut]("POST", path("albums", album, "links"), body=sent))

    def links(self, album: str) -> AsyncIterator[AlbumLinkOut]:
        """Yield the links of an album."""
        return self._pages(Call[AlbumLinkOut]("GET", path("albums", album, "links")))

    async def revoke_link(self, album: str, link_id: str) -> None:
        """End a link."""
        await self._send(Call[None]("DELETE", path("albums", album, "links", link_id)))
