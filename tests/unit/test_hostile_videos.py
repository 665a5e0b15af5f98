"""Videos that no camera makes: each is refused with its own code, quickly, and nothing that it names is read."""

import io
import socket
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import VideoRefused
from app.ml.video.client import DecodingProcess
from app.ml.video.frames import VideoProblem, probe, sample
from app.ml.video.protocol import Orders
from tests import hostile_videos as hostile
from tests.videos import Part, film

ORDERS = Orders(0, end_ms=60_000)
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


def code_of(data: bytes, orders: Orders = ORDERS) -> str | None:
    """The code with which a video is refused, when it is looked at or watched."""
    try:
        probe(io.BytesIO(data), orders)
        for _ in sample(io.BytesIO(data), orders):
            pass
    except VideoProblem as exc:
        return exc.code
    return None


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: hostile.gray(1, (7680, 4320)), "video_too_large"),
        (hostile.growing, "video_too_large"),
        (lambda: hostile.with_streams(64), None),
        (lambda: hostile.with_streams(65), "video_too_complex"),
        (lambda: hostile.with_streams(10_000), "video_too_complex"),
        (hostile.encrypted, "video_encrypted"),
        (hostile.sound, "video_without_picture"),
        (lambda: hostile.gray(0), "video_without_picture"),
        (lambda: hostile.gray(10).partition(b"moov")[0], "video_unreadable"),
        (lambda: hostile.gray(10, options=FRAGMENTED).partition(b"moof")[0], "video_without_picture"),
    ],
    ids=["8K", "becomes 8K", "64", "65", "10,000", "encrypted", "sound", "0 frames", "no index", "no frame"],
)
def test_each_is_refused_with_its_own_code(make: Callable[[], bytes], code: str | None) -> None:
    assert code_of(make()) == code


def test_the_number_of_frames_is_limited() -> None:
    orders = replace(ORDERS, max_frames=2_000)
    assert code_of(hostile.crowded(2_001), orders) == "video_too_complex"
    assert code_of(hostile.crowded(2_000), orders) is None


def test_a_sparse_video_is_as_long_as_it_says() -> None:
    data = hostile.sparse(12)
    facts = probe(io.BytesIO(data), ORDERS)
    assert facts.duration_ms == pytest.approx(12 * 3_600_000, abs=1000)
    last = replace(ORDERS, begin_ms=12 * 3_600_000, end_ms=12 * 3_600_000 + 60_000)
    assert [at_ms for at_ms, _ in sample(io.BytesIO(data), last)] == [12 * 3_600_000]
    middle = replace(ORDERS, begin_ms=6 * 3_600_000, end_ms=6 * 3_600_000 + 60_000)
    assert [*sample(io.BytesIO(data), middle)] == []


@pytest.mark.parametrize("delta", [0, 2**31 - 1, 2**32 - 1])
def test_broken_times_end_and_stay_within_the_part(delta: int) -> None:
    data = hostile.with_times(delta)
    found = [at_ms for at_ms, _ in sample(io.BytesIO(data), ORDERS)]
    assert found == sorted(set(found))
    assert all(0 <= at_ms < ORDERS.end_ms for at_ms in found)


def test_times_before_the_beginning_are_passed_over() -> None:
    data = hostile.gray(10, ticks=lambda number: number - 5, container="matroska")
    found = [at_ms for at_ms, _ in sample(io.BytesIO(data), ORDERS)]
    assert found == sorted(set(found))
    assert min(found) >= 0


async def test_nothing_that_a_playlist_names_is_read(tmp_path: Path) -> None:
    """Neither a file beside it nor an address, also not by the process that decodes."""
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(film([Part(1, 0, 1)], 1))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        for target in (str(secret), f"file:{secret}", f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"):
            for kind, data in hostile.playlists(target).items():
                assert code_of(data) == "video_unreadable", kind
                with tempfile.TemporaryFile() as file:
                    file.write(data)
                    file.flush()
                    if kind == "hls":  # a process takes half a second
                        async with DecodingProcess(file.fileno(), replace(ORDERS, probe=True)) as process:
                            with pytest.raises(VideoRefused, match="no video in a container"):
                                await process.facts()
        with pytest.raises(TimeoutError):
            server.accept()


def test_what_comes_before_a_cut_counts() -> None:
    data = hostile.gray(40, container="mpegts")
    found = [at_ms for at_ms, _ in sample(io.BytesIO(data[: len(data) // 2]), ORDERS)]
    assert found[0] == 0
    assert 0 < len(found) < 8
