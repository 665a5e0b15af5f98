"""Run the decoding process and read what it answers, without holding the event loop."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from app.domain.videos import VideoFacts
from app.errors import VideoRefused, VideoStuck
from app.ml.video.protocol import END, FACTS, FRAME, HEAD_BYTES, PROBLEM, Orders, read_frame, read_head

_SILENCE_S = 120.0
"""A process that answers nothing for so long hangs."""
_PIPE_BYTES = 4 * 2**20
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
_STUCK = "Decoding the video took too long, or too much memory, or ended without a reason."


class DecodingProcess:
    """Decodes one part of one video: an asynchronous context that ends the process."""

    def __init__(self, file: int, orders: Orders) -> None:
        self._file = _open_again(file)
        self._orders = replace(orders, file=self._file)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "DecodingProcess":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app.ml.video",
            self._orders.encode(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=[self._file],
            limit=_PIPE_BYTES,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        os.close(self._file)
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def facts(self) -> VideoFacts:
        """Return what the video's container says; raises `VideoRefused` or `VideoStuck`."""
        async for kind, body in self._answers():
            if kind == FACTS:
                return VideoFacts(**_json(body))
        raise VideoStuck(_STUCK)

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield the frames, each with its time in milliseconds; raises `VideoRefused` or `VideoStuck`."""
        async for kind, body in self._answers():
            if kind == FRAME:
                yield read_frame(body)

    async def _answers(self) -> AsyncIterator[tuple[bytes, bytes]]:
        assert self._process is not None
        out = self._process.stdout
        assert out is not None
        while True:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    kind, size = read_head(await out.readexactly(HEAD_BYTES))
                    body = await out.readexactly(size)
            except (asyncio.IncompleteReadError, TimeoutError, ValueError) as exc:
                raise VideoStuck(_STUCK) from exc
            if kind == END:
                return
            if kind == PROBLEM:
                raise VideoRefused.of(**_json(body))
            yield kind, body


def _open_again(file: int) -> int:
    """Return a descriptor of the same file with a position of its own, for several processes at a time."""
    try:
        return os.open(f"/proc/self/fd/{file}", os.O_RDONLY)
    except FileNotFoundError:  # not on Linux
        os.lseek(file, 0, os.SEEK_SET)
        return os.dup(file)


def _json(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body)
    return found
