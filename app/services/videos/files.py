"""Put a video's parts together in a file that has no name, for the time in which a worker needs it.

The parts lie encrypted in the spool. The file is deleted as soon as it is open: when it is closed, also because the
process ends, nothing of it is left.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from app.errors import PhotoLost
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.video_steps import VideoStep

_KEPT_S = 60.0


@dataclass(slots=True)
class _Opened:
    file: int
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)


class VideoFiles:
    """Opens videos; one per process. The steps of a video that follow each other share its file."""

    def __init__(self, spool: PhotoSpool, directory: Path) -> None:
        self._spool = spool
        self._directory = directory
        self._opened: dict[UUID, _Opened] = {}
        self._locks: dict[UUID, asyncio.Lock] = {}

    @asynccontextmanager
    async def open(self, tenant_id: UUID, step: VideoStep) -> AsyncIterator[int]:
        """Open the video of a step: a descriptor of its file. Raises `PhotoLost` or `PhotoStoreUnavailable`."""
        async with self._locks.setdefault(step.video_id, asyncio.Lock()):
            opened = self._opened.get(step.video_id)
            if opened is None:
                opened = self._opened[step.video_id] = _Opened(await self._fetch(tenant_id, step))
            opened.users += 1
        try:
            yield opened.file
        finally:
            opened.users -= 1
            opened.used_at = time.monotonic()
            self.close_unused()

    def close_unused(self, kept_s: float = _KEPT_S) -> None:
        """Close the files that nobody has used for a while."""
        now = time.monotonic()
        for video_id, opened in list(self._opened.items()):
            if not opened.users and now - opened.used_at >= kept_s:
                os.close(opened.file)
                del self._opened[video_id]
                self._locks.pop(video_id, None)

    async def _fetch(self, tenant_id: UUID, step: VideoStep) -> int:
        if not step.parts:
            raise PhotoLost
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=self._directory, buffering=0) as file:
            for part, key_id in zip(step.parts, step.key_ids, strict=True):
                content = await self._spool.get(tenant_id, part, key_id)
                await asyncio.to_thread(file.write, content)
            return os.dup(file.fileno())
