"""Videos that no camera makes: real files, each with one thing that must not pass."""

import io
import struct
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np

_CENC = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}


def gray(
    count: int,
    size: tuple[int, int] = (320, 180),
    *,
    container: str = "mp4",
    rate: int = 10,
    ticks: Callable[[int], int] = lambda number: number,
    options: dict[str, str] | None = None,
) -> bytes:
    """Encode gray frames; `ticks` gives the time of each, in units of 1 / rate. `options` are the container's."""
    width, height = size
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, container_options=options or {}) as output:
        stream: Any = output.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        output.start_encoding()
        for number in range(count):
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([100]) * plane.buffer_size)
            frame.pts = ticks(number)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return buffer.getvalue()


def encrypted() -> bytes:
    """An MP4 with common encryption (CENC, ISO/IEC 23001-7)."""
    return gray(10, options=_CENC)


def with_streams(count: int) -> bytes:
    """An MP4 with so many video tracks."""
    plain = gray(5)
    for kind, begin, end in _boxes(plain, 0, len(plain)):
        if kind == b"moov":  # behind the frames, so that their places stay right
            (track,) = [plain[a:b] for inner, a, b in _boxes(plain, begin + 8, end) if inner == b"trak"]
            body = plain[begin + 8 : end] + track * (count - 1)
            return plain[:begin] + struct.pack(">I4s", len(body) + 8, b"moov") + body + plain[end:]
    raise AssertionError("an MP4 has a moov")


def sound() -> bytes:
    """A file with sound alone."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return buffer.getvalue()


def sparse(hours: int) -> bytes:
    """Two frames, the second after so many hours: a kilobyte."""
    return gray(2, ticks=lambda number: number * hours * 36_000)


def growing() -> bytes:
    """A stream that becomes 8K after half a second."""
    return gray(5, container="mpegts") + gray(1, (7680, 4320), container="mpegts")


def crowded(rate: int) -> bytes:
    """A second with so many frames."""
    return gray(rate, (64, 64), rate=rate)


def playlists(target: str) -> dict[str, bytes]:
    """Files of formats that name another file or address."""
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n".encode(),
        "concat": f"ffconcat version 1.0\nfile {target}\n".encode(),
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
            f'bandwidth="1"><BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>'
        ).encode(),
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "smil": f'<smil><body><video src="{target}"/></body></smil>'.encode(),
    }


def with_times(delta: int) -> bytes:
    """An MP4 that says each frame is shown for so many ticks (stts, ISO/IEC 14496-12, 8.6.1.2)."""
    data = bytearray(gray(10))
    begin = data.index(b"stts") + 4 + 8  # behind version, flags and the number of entries
    struct.pack_into(">II", data, begin, 10, delta)
    return bytes(data)


def _boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while begin < end:
        size, kind = struct.unpack(">I4s", data[begin : begin + 8])
        yield kind, begin, begin + size
        begin += size
