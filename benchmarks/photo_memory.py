"""What one photo costs in memory above its own pixels (width x height x 3 bytes), by format, size and faces.

    .venv/bin/python -m benchmarks.photo_memory --pack DIR [--photos DIR] [--out FILE]

Each photo in a process of its own, warmed by small photos in every shape that the detector takes: the peak of the
resident set during `analyze()` less what was resident before, which holds the encoded bytes already. Linux only: the
peak is reset through `/proc/self/clear_refs`. `one face`: half as high as the photo, looked at as usual. `many faces`:
forty-eight of about 120 pixels, for which the full resolution is decoded, looked at as usual and thoroughly, where the
tiles ask for a second resolution. Made of LFW's photos with `--photos`, else of drawn people. The limits of bytes and
pixels that the service sets are lifted.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import io
import json
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.domain.faces import Detail
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.machine import describe_run
from benchmarks.photos import make_photos

SIZES = {"12 Mpx": (4000, 3000), "40 Mpx": (7300, 5475)}
FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG baseline": ("RGB", "JPEG", {"quality": 90}),
    "JPEG progressive": ("RGB", "JPEG", {"quality": 90, "progressive": True}),
    "PNG RGB": ("RGB", "PNG", {"compress_level": 1}),
    "PNG RGBA": ("RGBA", "PNG", {"compress_level": 1}),
    "WebP": ("RGB", "WEBP", {"quality": 80, "method": 0}),
}
LOOKS = {
    "one face": ("one", Detail.STANDARD),
    "many faces": ("many", Detail.STANDARD),
    "many faces, thorough": ("many", Detail.THOROUGH),
}
COLUMNS, ROWS = 8, 6
SMALL_HEAD = 240
"""Pixels of a photo of LFW's (its middle) in the picture of many faces; the face takes about half."""
GOAL_MB = 64
MB = 1e6


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Measure the memory that one photo takes above its pixels.")
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--photos", type=Path, help="LFW's photos, one folder a person; without, people are drawn")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    table: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for size_name, size in SIZES.items():
            pictures = {"one": _one_face(size, arguments.photos), "many": _many_faces(size, arguments.photos)}
            for format_name in FORMATS:
                row = table.setdefault(f"{format_name}, {size_name}", {"pixels, MB": round(size[0] * size[1] * 3 / MB)})
                for picture, made in pictures.items():
                    Path(directory, picture).write_bytes(_encode(made, format_name))
                for look, (picture, detail) in LOOKS.items():
                    row[look] = _measure(Path(directory, picture), size, arguments.pack, detail)
                print(f"{format_name}, {size_name}: {row}", flush=True)
    most = max(row[look]["above its pixels, MB"] for row in table.values() for look in LOOKS)
    result = {
        "what": "peak resident memory of one analyze() above what was resident before and above width x height x 3",
        **describe_run(),
        "pack": arguments.pack.name,
        "most above its pixels, MB": most,
        "goal, MB": GOAL_MB,
        "photos": table,
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def _one_face(size: tuple[int, int], lfw: Path | None) -> Image.Image:
    photo = _heads(1, lfw)[0]
    canvas = _backdrop(photo, size)
    side = size[1]
    canvas.paste(photo.resize((side, side), Image.Resampling.BICUBIC), ((size[0] - side) // 2, 0))
    return _with_noise(canvas)


def _many_faces(size: tuple[int, int], lfw: Path | None) -> Image.Image:
    heads = _heads(COLUMNS * ROWS, lfw)
    canvas = _backdrop(heads[0], size)
    for place, head in enumerate(heads):
        left = size[0] * (2 * (place % COLUMNS) + 1) // (2 * COLUMNS) - SMALL_HEAD // 2
        top = size[1] * (2 * (place // COLUMNS) + 1) // (2 * ROWS) - SMALL_HEAD // 2
        canvas.paste(head.resize((SMALL_HEAD, SMALL_HEAD), Image.Resampling.BICUBIC), (left, top))
    return _with_noise(canvas)


def _heads(count: int, lfw: Path | None) -> list[Image.Image]:
    return [Image.open(io.BytesIO(data)).convert("RGB") for data in make_photos("lfw", lfw, count)]


def _backdrop(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    return photo.resize((8, 6), Image.Resampling.BOX).resize(size, Image.Resampling.BICUBIC)


def _with_noise(canvas: Image.Image) -> Image.Image:
    """Of a sensor, mild, so that files are as long as a camera's; in bands, to stay small itself."""
    rng = np.random.default_rng(0)
    pixels = np.array(canvas)
    for top in range(0, len(pixels), 256):
        band = pixels[top : top + 256]
        noise = rng.integers(-4, 5, (*band.shape[:2], 1), np.int16)
        band[:] = np.clip(band.astype(np.int16) + noise, 0, 255)
    return Image.fromarray(pixels)


def _encode(picture: Image.Image, format_name: str) -> bytes:
    mode, format_, options = FORMATS[format_name]
    if mode == "RGBA":
        picture = picture.copy()
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def _measure(file: Path, size: tuple[int, int], pack: Path, detail: Detail) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        cost_mb, kept_mb, faces = pool.apply(_analyze_one, (file, pack, detail))
    return {
        "above its pixels, MB": round(cost_mb - size[0] * size[1] * 3 / MB, 1),
        "kept afterwards, MB": round(kept_mb, 1),
        "faces": faces,
        "file, MB": round(file.stat().st_size / MB, 1),
    }


def _analyze_one(file: Path, pack: Path, detail: Detail) -> tuple[float, float, int]:
    """Megabytes above what was resident: at the peak, and when the photo is gone; and the faces found."""
    wanted = {
        "model_pack": str(pack),
        "data_dir": str(file.parent / "data"),
        "inference_threads": 1,
        "max_image_bytes": 1 << 30,
        "max_image_pixels": 1 << 30,
    }
    analyzer = build_analyzer(Settings.model_validate(wanted))
    _warm(analyzer)
    data = file.read_bytes()
    before = _status_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    faces = len(analyzer.analyze(data, Embed.ALL, detail).faces)
    return _status_mb("VmHWM") - before, _status_mb("VmRSS") - before, faces


def _warm(analyzer: FaceAnalyzer) -> None:
    head = _heads(1, None)[0]
    for size in ((250, 250), (390, 300), (640, 640), (640, 480), (480, 640), (640, 360), (360, 640)):
        analyzer.analyze(_encode(_backdrop(head, size), "JPEG baseline"), Embed.ALL)
    for format_name in FORMATS:
        for detail in Detail:
            analyzer.analyze(_encode(head.resize((640, 640)), format_name), Embed.ALL, detail)
    analyzer.warm_up()


def _status_mb(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) * 1024 / MB


if __name__ == "__main__":
    main()
