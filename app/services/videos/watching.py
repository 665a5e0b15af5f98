"""Find the faces in a part of a video, and follow them from frame to frame."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import zip_longest

from app.domain.albums import Keep
from app.domain.collections import Recognizers
from app.domain.faces import Analysis, Face, QualityBar, QualityReason, is_reliable
from app.domain.videos import SeenFace
from app.matcher.tracking.tracklets import Tracklet, TrackletLinker
from app.ml.video.client import DecodingProcess
from app.ml.video.protocol import Orders
from app.persistence.repositories.templates import describe_quality
from app.persistence.repositories.video_steps import VideoStep
from app.services.photos.face_reader import FaceReader, by_recognizer

_MAX_FACES = 50
"""Of one frame, the largest."""
_AHEAD = 2
"""Frames that wait for a thread, so that none waits for a frame."""
_IGNORED = frozenset({QualityReason.TOO_SMALL})


class VideoWatcher:
    """Watches parts of videos; one per process."""

    def __init__(self, faces: FaceReader) -> None:
        self._faces = faces.in_background()

    async def watch(self, file: int, step: VideoStep, recognizers: Recognizers) -> list[Tracklet]:
        """Return who is seen in the part of a step; raises `VideoRefused` or `VideoStuck`.

        The frames are analyzed as many at a time as there are threads, and linked in their order.
        """
        sampling = step.sampling
        orders = Orders(
            file,
            begin_ms=step.begin_ms,
            end_ms=step.end_ms,
            per_second=sampling.per_second,
            keyframes_only=sampling.keyframes_only,
        )
        linker = TrackletLinker(recognizers.in_use)
        async with DecodingProcess(file, orders) as process:
            keeps_pictures = step.keep is Keep.CROPS
            async for at_ms, faces in self._find_faces(process.frames(), recognizers, keeps_pictures=keeps_pictures):
                linker.add(at_ms, faces)
        return linker.finish()

    async def _find_faces(
        self, frames: AsyncIterator[tuple[int, bytes]], recognizers: Recognizers, *, keeps_pictures: bool
    ) -> AsyncIterator[tuple[int, list[SeenFace]]]:
        running: deque[tuple[int, asyncio.Task[list[SeenFace]]]] = deque()
        try:
            async for at_ms, picture in frames:
                found = self._look_at(at_ms, picture, recognizers, keeps_pictures=keeps_pictures)
                running.append((at_ms, asyncio.ensure_future(found)))
                if len(running) > self._faces.threads + _AHEAD:
                    done_ms, task = running.popleft()
                    yield done_ms, await task
            while running:
                done_ms, task = running.popleft()
                yield done_ms, await task
        finally:
            for _, task in running:
                task.cancel()

    async def _look_at(
        self, at_ms: int, picture: bytes, recognizers: Recognizers, *, keeps_pictures: bool
    ) -> list[SeenFace]:
        analysis = await self._faces.extract_chosen(picture, self._choose, recognizers, may_turn=False)
        cut: list[bytes] = []
        if keeps_pictures and analysis.embedded:
            cut = await self._faces.cut_faces(picture, [analysis.faces[index] for index in analysis.embedded])
        return _describe(at_ms, analysis, recognizers, cut)

    def _choose(self, faces: Sequence[Face]) -> list[int]:
        """Choose the faces of a frame that are large enough; bad ones may belong to somebody who is seen better."""
        judged = ((index, self._faces.judge(face, QualityBar.LOW)) for index, face in enumerate(faces))
        chosen = [index for index, findings in judged if not {finding.reason for finding in findings} & _IGNORED]
        return chosen[:_MAX_FACES]


def _describe(at_ms: int, analysis: Analysis, recognizers: Recognizers, pictures: Sequence[bytes]) -> list[SeenFace]:
    """Describe the embedded faces of a frame; without pictures, they have none."""
    seen = []
    embedded = zip(analysis.embedded, by_recognizer(analysis, recognizers), strict=True)
    for (index, embeddings), picture in zip_longest(embedded, pictures):
        face = analysis.faces[index]
        quality = describe_quality(face)
        seen.append(
            SeenFace(
                at_ms,
                face.box.relative_to(analysis.width, analysis.height),
                face.detection_score,
                quality,
                is_reliable(quality.get("score")),
                embeddings,
                picture,
            )
        )
    return seen
