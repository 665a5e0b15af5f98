"""Videos: send them, wait, and read who appears when."""

import os
import time
from collections.abc import AsyncIterator
from typing import BinaryIO

from vultus_client._async.concurrency import sleep
from vultus_client._async.transport import AsyncResource
from vultus_client.calls import Call, path, with_photos
from vultus_client.models import FoundAppearancesOut, ReceivedVideoOut, VideoOut, VideoPeopleOut
from vultus_client.photos import Photo, open_file

_POLL_S = 1.0
_UPLOAD_TIMEOUT_S = 600.0
_ENDED = ("done", "failed")


class AsyncVideos(AsyncResource):
    """Who appears in a video, and when."""

    async def add(
        self,
        video: str | os.PathLike[str] | bytes | BinaryIO,
        *,
        album: str,
        external_id: str,
        samples_per_second: float | None = None,
        keyframes_only: bool | None = None,
        max_minutes: float | None = None,
    ) -> ReceivedVideoOut:
        """Send a video; a large file is read while it is sent. The same video again is not added twice."""
        form = {"album": album, "external_id": external_id, "samples_per_second": samples_per_second}
        form |= {"keyframes_only": keyframes_only, "max_minutes": max_minutes}
        with open_file(video) as content:
            files = [("video", ("video", content, "application/octet-stream"))]
            call = Call[ReceivedVideoOut]("POST", "/videos", form=form, files=files, can_repeat=True)
            call.timeout_s = _UPLOAD_TIMEOUT_S
            return await self._send(call)

    def list(self, *, album: str | None = None, state: str | None = None) -> AsyncIterator[VideoOut]:
        """Yield videos in the order of arrival."""
        return self._pages(Call[VideoOut]("GET", "/videos", query={"album": album, "state": state}))

    async def get(self, video_id: str) -> VideoOut:
        """Return how far a video is, or why it failed."""
        return await self._send(Call[VideoOut]("GET", path("videos", video_id)))

    async def wait(self, video_id: str, *, timeout_s: float | None = None) -> VideoOut:
        """Wait until a video is done or has failed. Raises `TimeoutError`."""
        begun = time.monotonic()
        while True:
            found = await self.get(video_id)
            if found["state"] in _ENDED:
                return found
            if timeout_s is not None and time.monotonic() - begun > timeout_s:
                raise TimeoutError(f"the video {video_id} is {found['state']} after {timeout_s:g} s")
            await sleep(_POLL_S)

    async def delete(self, video_id: str) -> None:
        """Erase a video with its faces."""
        await self._send(Call[None]("DELETE", path("videos", video_id)))

    async def people(self, video_id: str) -> VideoPeopleOut:
        """Return everybody who appears, with the times."""
        return await self._send(Call[VideoPeopleOut]("GET", path("videos", video_id, "people")))

    async def subtitles(self, video_id: str) -> str:
        """Return who appears when as WebVTT, for a player."""
        return await self._send(Call[str]("GET", path("videos", video_id, "people.vtt")))

    async def search(self, album: str, selfie: Photo) -> FoundAppearancesOut:
        """Find the videos of an album in which somebody appears, by a selfie."""
        call: Call[FoundAppearancesOut] = with_photos("/videos/search", {"image": selfie}, album=album)
        call.can_repeat = True
        return await self._send(call)
