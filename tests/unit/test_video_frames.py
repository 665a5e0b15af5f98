"""Frames of videos: the right ones, at the right times, from files that deserve it and from no others."""

import io
import os
import struct
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from app.errors import (
    VideoEncrypted,
    VideoRefused,
    VideoStuck,
    VideoTooComplex,
    VideoTooLarge,
    VideoUnreadable,
    VideoWithoutPicture,
)
from app.ml.video.client import DecodingProcess
from app.ml.video.frames import VideoProblem, probe, sample
from app.ml.video.protocol import Orders
from tests import pictures
from tests.videos import Part, film

ORDERS = Orders(0, end_ms=10_000)
SCRIPT = [Part(1, 0, 3)]


def times(data: bytes, orders: Orders = ORDERS) -> list[int]:
    return [at_ms for at_ms, _ in sample(io.BytesIO(data), orders)]


def test_frames_of_an_even_grid_are_chosen() -> None:
    data = film(SCRIPT, 3)
    facts = probe(io.BytesIO(data), ORDERS)
    assert (facts.width, facts.height, facts.codec) == (640, 360, "h264")
    assert abs(facts.duration_ms - 3000) <= 100
    assert times(data) == [0, 500, 1000, 1500, 2000, 2500]
    assert times(data, replace(ORDERS, per_second=10)) == list(range(0, 3000, 100))
    assert times(data, replace(ORDERS, begin_ms=1000, end_ms=2000)) == [1000, 1500]


def test_parts_join_without_a_gap() -> None:
    data = film(SCRIPT, 4, per_second=7, keyframe_s=3)
    whole = times(data)
    parts = [replace(ORDERS, begin_ms=begin, end_ms=begin + 700) for begin in range(0, 4200, 700)]
    joined = [at_ms for part in parts for at_ms in times(data, part)]
    assert set(whole) <= set(joined)
    assert joined == sorted(set(joined))


def test_times_are_those_of_the_frames_at_a_variable_rate() -> None:
    shown = [0.0, 0.2, 0.21, 0.9, 1.0, 1.7, 1.71, 2.6, 2.9]
    data = film(SCRIPT, 3, per_second=3, times=lambda number: shown[number])
    found = times(data, replace(ORDERS, per_second=10))
    assert all(min(abs(at_ms - one * 1000) for one in shown) <= 1 for at_ms in found)
    assert len(found) >= 7


def test_keyframes_alone() -> None:
    data = film(SCRIPT, 4, keyframe_s=2)
    assert times(data, replace(ORDERS, keyframes_only=True)) == [0, 2000]


@pytest.mark.parametrize(
    ("container", "codec"),
    [("matroska", "libx264"), ("webm", "libvpx-vp9"), ("avi", "mpeg4"), ("mpegts", "libx264"), ("mov", "mjpeg")],
)
def test_containers_and_codecs(container: str, codec: str) -> None:
    options: dict[str, Any] = {"pix_fmt": "yuvj420p"} if codec == "mjpeg" else {}
    data = film(SCRIPT, 2, container=container, codec=codec, **options)
    assert len(times(data)) == 4


def test_a_frame_is_a_picture() -> None:
    _, picture = next(iter(sample(io.BytesIO(film(SCRIPT, 1)), ORDERS)))
    image = Image.open(io.BytesIO(picture))
    assert image.size == (640, 360)
    drawn = np.asarray(Image.open(io.BytesIO(pictures.photo(1))).convert("RGB"))
    assert np.asarray(image.convert("RGB")).mean() == pytest.approx(drawn.mean(), abs=60)
    small = next(iter(sample(io.BytesIO(film(SCRIPT, 1)), replace(ORDERS, max_side=321))))[1]
    assert Image.open(io.BytesIO(small)).size == (321, 181)


ONE = 0x10000


@pytest.mark.parametrize(
    ("matrix", "quarters"),
    [((0, ONE, -ONE, 0), 3), ((-ONE, 0, 0, -ONE), 2), ((0, -ONE, ONE, 0), 1)],
    ids=["clockwise", "upside down", "counterclockwise"],
)
def test_frames_are_turned_as_the_container_says(matrix: tuple[int, int, int, int], quarters: int) -> None:
    """The matrix of an MP4's track header (ISO/IEC 14496-12, 8.3.2)."""
    plain = film(SCRIPT, 1)
    turned = bytearray(plain)
    begin = turned.index(b"tkhd") + 4 + 40  # behind version, times, id, length and layer, of version 0
    a, b, c, d = matrix
    turned[begin : begin + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    facts = probe(io.BytesIO(turned), ORDERS)
    assert (facts.width, facts.height) == ((640, 360) if quarters == 2 else (360, 640))
    first, other = (
        np.asarray(Image.open(io.BytesIO(next(iter(sample(io.BytesIO(data), ORDERS)))[1]))) for data in (plain, turned)
    )
    assert np.array_equal(other, np.rot90(first, quarters))


def _playlist(tmp_path: Path) -> bytes:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(film(SCRIPT, 1))
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n".encode()


def test_what_is_no_video(tmp_path: Path) -> None:
    sound = io.BytesIO()
    with av.open(sound, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    concat = f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n".encode()
    for data, code in (
        (b"", "video_unreadable"),
        (b"no video" * 1000, "video_unreadable"),
        (pictures.photo(1), "video_unreadable"),
        (_playlist(tmp_path), "video_unreadable"),
        (concat, "video_unreadable"),
        (film(SCRIPT, 1)[:600], "video_unreadable"),
        (sound.getvalue(), "video_without_picture"),
    ):
        with pytest.raises(VideoProblem) as raised:
            probe(io.BytesIO(data), ORDERS)
        assert raised.value.code == code


def test_limits() -> None:
    data = film(SCRIPT, 1)
    with pytest.raises(VideoProblem) as raised:
        probe(io.BytesIO(data), replace(ORDERS, max_frame_pixels=640 * 360 - 1))
    assert raised.value.code == "video_too_large"
    with pytest.raises(VideoProblem) as raised:
        probe(io.BytesIO(data), replace(ORDERS, max_streams=0))
    assert raised.value.code == "video_too_complex"


def test_what_comes_before_a_cut_counts() -> None:
    data = film(SCRIPT, 4, container="matroska")
    assert 0 < len(times(data[: len(data) * 2 // 3])) < 8


async def test_a_process_of_its_own_decodes() -> None:
    data = film(SCRIPT, 2)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        async with DecodingProcess(file.fileno(), replace(ORDERS, probe=True)) as process:
            assert (await process.facts()).width == 640
        async with DecodingProcess(file.fileno(), ORDERS) as process:
            frames = [(at_ms, picture) async for at_ms, picture in process.frames()]
        assert frames == list(sample(io.BytesIO(data), ORDERS))


async def test_what_the_process_refuses_is_an_error() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"no video" * 100)
        file.flush()
        async with DecodingProcess(file.fileno(), replace(ORDERS, probe=True)) as process:
            with pytest.raises(VideoUnreadable):
                await process.facts()


async def test_a_process_that_ends_is_noticed() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(film(SCRIPT, 2))
        file.flush()
        process = DecodingProcess(file.fileno(), ORDERS)
        async with process:
            assert process._process is not None
            os.kill(process._process.pid, 9)
            with pytest.raises(VideoStuck):
                _ = [at_ms async for at_ms, _ in process.frames()]


def test_every_code_of_the_process_is_an_error() -> None:
    kinds = {
        "video_unreadable": VideoUnreadable,
        "video_without_picture": VideoWithoutPicture,
        "video_too_large": VideoTooLarge,
        "video_too_complex": VideoTooComplex,
        "video_encrypted": VideoEncrypted,
    }
    for code, kind in kinds.items():
        assert type(VideoRefused.of(code, "because")) is kind
