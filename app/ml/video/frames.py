"""Choose and convert the frames of a video; the only file with PyAV.

Only a list of containers and codecs is opened, from an open file, and nothing that the file names: playlists could name
other files and addresses.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from app.domain.videos import VideoFacts
from app.ml.video.protocol import Orders

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
CODECS = "h264,hevc,vp8,vp9,av1,libdav1d,mpeg4,mpeg1video,mpeg2video,mjpeg,theora,prores,wmv3,h263,flv"
_OPTIONS = {"format_whitelist": CONTAINERS, "codec_whitelist": CODECS, "protocol_whitelist": "none"}
_MS = 1000
_MAX_ERRORS = 100
"""So many damaged packets in a row end the video."""


class VideoProblem(Exception):
    """Why a video is not processed: a stable code and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(detail)


@contextmanager
def opened(file: IO[bytes], orders: Orders) -> Iterator[tuple[Any, Any]]:
    """Open a container and its first video stream; raises `VideoProblem`."""
    options = {**_OPTIONS, "max_streams": str(orders.max_streams)}
    try:
        container = av.open(file, options=options, metadata_errors="replace")
    except MemoryError as exc:
        raise VideoProblem(
            "video_too_complex",
            f"The video has more than {orders.max_streams} streams, which is the limit, or takes too much memory.",
        ) from exc
    except (FFmpegError, ValueError, EOFError) as exc:
        raise VideoProblem(
            "video_unreadable", "The file is no video in a container that is supported, or it is damaged."
        ) from exc
    try:
        stream = next((one for one in container.streams.video if not _is_cover(one)), None)
        if stream is None or stream.codec_context is None:
            raise VideoProblem("video_without_picture", "The file has no video stream, or one of an unsupported codec.")
        _check_size(stream.codec_context.width, stream.codec_context.height, orders)
        stream.codec_context.thread_count = 1
        stream.codec_context.skip_frame = "NONKEY" if orders.keyframes_only else "DEFAULT"
        yield container, stream
    finally:
        container.close()


def probe(file: IO[bytes], orders: Orders) -> VideoFacts:
    """Read a video's facts and its first frame; raises `VideoProblem`."""
    with opened(file, orders) as (container, stream):
        first = next(_decode(container, stream), None)
        if first is None:
            raise VideoProblem("video_without_picture", "No frame of the video can be decoded.")
        width, height = first.width, first.height
        if _quarter_turns(first) % 2:
            width, height = height, width
        duration = stream.duration * stream.time_base if stream.duration else None
        if duration is None and container.duration is not None:
            duration = container.duration / av.time_base
        if duration is None or duration <= 0:
            raise VideoProblem("video_unreadable", "The container does not say how long the video is.")
        rate = float(stream.average_rate or 0)
        return VideoFacts(width, height, round(float(duration) * _MS), rate, stream.codec_context.name)


def sample(file: IO[bytes], orders: Orders) -> Iterator[tuple[int, bytes]]:
    """Yield the time in milliseconds and a bitmap of frames of the video's part; raises `VideoProblem`.

    The frame at or after each time of the grid of `per_second` is chosen, so that parts join without a gap.
    """
    step = _MS / orders.per_second
    with opened(file, orders) as (container, stream):
        start = stream.start_time or 0
        if orders.begin_ms > 0:
            offset = start + round(orders.begin_ms / _MS / float(stream.time_base))
            container.seek(offset, stream=stream, backward=True)
        due, count = float(orders.begin_ms), 0
        for frame in _decode(container, stream):
            _check_size(frame.width, frame.height, orders)  # it may change within a stream
            if frame.pts is None:
                continue  # a broken time: nobody can say when it is shown
            at_ms = round(float((frame.pts - start) * stream.time_base) * _MS)
            if at_ms >= orders.end_ms:
                return
            if at_ms >= orders.begin_ms:
                count += 1
                if count > orders.max_frames:
                    raise VideoProblem(
                        "video_too_complex",
                        f"The video has more than {orders.max_frames} frames within "
                        f"{(orders.end_ms - orders.begin_ms) / _MS:g} s, which is the limit.",
                    )
            if at_ms < due - 1e-6:
                continue
            due = (at_ms // step + 1) * step
            yield at_ms, _bitmap(_upright(frame, orders.max_side))


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    """Decode the frames of a stream; damaged packets are passed over, unless there are many in a row."""
    errors = 0
    try:
        for packet in container.demux(stream):
            if packet.has_sidedata("encryption_info"):
                raise VideoProblem("video_encrypted", "The video is encrypted; send it without copy protection.")
            try:
                frames = packet.decode()
            except FFmpegError as exc:
                errors += 1
                if errors > _MAX_ERRORS:
                    raise VideoProblem("video_unreadable", "The video is damaged: many packets in a row.") from exc
                continue
            errors = 0 if frames else errors
            yield from frames
    except FFmpegError:
        return  # truncated: what came before counts


def _is_cover(stream: Any) -> bool:
    """Whether the stream is a picture beside the sound, not a video."""
    return "ATTACHED_PIC" in str(getattr(stream, "disposition", ""))


def _check_size(width: int, height: int, orders: Orders) -> None:
    if width * height > orders.max_frame_pixels:
        raise VideoProblem(
            "video_too_large",
            f"Frames have {width} x {height} pixels; at most {orders.max_frame_pixels} pixels are allowed.",
        )
    if width < 1 or height < 1:
        raise VideoProblem("video_without_picture", "The video's frames have no pixels.")


def _quarter_turns(frame: Any) -> int:
    return round((frame.rotation or 0) / 90) % 4


def _upright(frame: Any, max_side: int) -> NDArray[np.uint8]:
    """Return a frame as (height, width, 3) BGR, scaled down and turned as the container says."""
    scale = min(1.0, max_side / max(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    pixels = frame.reformat(width=width, height=height, format="bgr24").to_ndarray()
    turns = _quarter_turns(frame)
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _bitmap(pixels: NDArray[np.uint8]) -> bytes:
    """Write BGR pixels as a BMP, which costs a copy and no compression."""
    height, width = pixels.shape[:2]
    padding = -width * 3 % 4
    out = io.BytesIO()
    size = 54 + (width * 3 + padding) * height
    out.write(struct.pack("<2sIHHI", b"BM", size, 0, 0, 54))
    out.write(struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 2835, 2835, 0, 0))
    rows = pixels[::-1].reshape(height, width * 3)
    out.write(np.pad(rows, ((0, 0), (0, padding))).tobytes() if padding else rows.tobytes())
    return out.getvalue()
