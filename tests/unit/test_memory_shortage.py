"""Photos whose headers lie, and servers without memory: refusals that clients understand."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from app.errors import ImageRefused, Overloaded
from app.ml import heif
from app.ml.executor import InferenceExecutor
from app.ml.image import ImageLimits, open_photo
from app.ml.memory import is_out_of_memory

LIMITS = ImageLimits(max_bytes=10_000_000, max_pixels=50_000_000)


def fail_in_opencv() -> None:
    raise_no_memory = cv2.error("Failed to allocate 4800000000 bytes")
    raise_no_memory.code = cv2.Error.StsNoMem
    raise raise_no_memory


def fail_in_onnx_runtime() -> None:
    raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc")


def fail_in_numpy() -> None:
    np.empty(2**62, np.uint8)


@pytest.mark.parametrize("fail", [fail_in_opencv, fail_in_onnx_runtime, fail_in_numpy])
async def test_a_job_without_memory_is_an_overload(fail: object) -> None:
    executor = InferenceExecutor(threads=1, queue=1)
    try:
        with pytest.raises(Overloaded) as raised:
            await executor.run(None, fail)  # type: ignore[arg-type]
        assert raised.value.retry_after_s == 1
    finally:
        executor.close()


def test_other_errors_are_no_shortage() -> None:
    for error in (ValueError("x"), RuntimeError("shape mismatch"), cv2.error("bad size")):
        assert not is_out_of_memory(error)


def tiff(width: tuple[int, int, bytes], *, orientation: tuple[int, int, bytes] | None = None) -> bytes:
    """A TIFF whose width and orientation are entries of any type: type, count, value (4 bytes)."""
    entries = [(256, *width), (257, 3, 1, struct.pack("<I", 2)), (258, 3, 1, struct.pack("<I", 8))]
    entries += [(259, 3, 1, struct.pack("<I", 1)), (262, 3, 1, struct.pack("<I", 1)), (273, 4, 1, struct.pack("<I", 8))]
    entries += [(274, *orientation)] if orientation else []
    entries += [(277, 3, 1, struct.pack("<I", 1)), (278, 3, 1, struct.pack("<I", 2)), (279, 4, 1, struct.pack("<I", 4))]
    directory = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return (
        b"II*\0" + struct.pack("<I", 12) + b"\x10\x20\x30\x40" + struct.pack("<H", len(entries)) + directory + b"\0" * 4
    )


INFINITE = struct.pack("<f", float("inf"))


@pytest.mark.parametrize(
    "width",
    [(4, 1, b"\xff\xff\xff\xff"), (11, 1, INFINITE), (4, 1, b"\0\0\0\0"), (9, 1, b"\xff\xff\xff\xff"),
     (8, 1, b"\xff\xff\0\0"), (4, 1, b"\xff\xff\xff\x7f")],
)  # fmt: skip
def test_a_dimension_that_no_picture_has_is_refused(width: tuple[int, int, bytes]) -> None:
    with pytest.raises(ImageRefused):
        open_photo(tiff(width), LIMITS).render((0, 0, 1, 1), 4, 4)


@pytest.mark.parametrize("value", [INFINITE, struct.pack("<f", float("nan")), struct.pack("<f", 1e30)])
def test_an_orientation_that_is_no_number_counts_as_upright(value: bytes) -> None:
    photo = open_photo(tiff((3, 1, struct.pack("<I", 2)), orientation=(11, 1, value)), LIMITS)
    assert photo.render((0, 0, 2, 2), 2, 2).shape == (2, 2, 3)


@pytest.mark.skipif(not heif.IS_AVAILABLE, reason="pillow-heif is optional")
@pytest.mark.parametrize("dimensions", [b"\0" * 8, b"\xff" * 8, b"\0\0\0\x40\0\0\0\0"])
def test_a_heic_photo_with_a_wrong_size_is_refused(dimensions: bytes) -> None:
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.linear_gradient("L").convert("RGB").resize((64, 64))).save(file)
    data = file.getvalue()
    size = data.index(b"ispe") + 8
    with pytest.raises(ImageRefused):
        open_photo(data[:size] + dimensions + data[size + 8 :], LIMITS).render((0, 0, 1, 1), 4, 4)
