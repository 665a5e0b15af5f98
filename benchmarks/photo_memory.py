"""Measure the memory that one photo takes above its pixels (width x height x 3 bytes), by format, size and faces.

    make bench-photo-memory
    .venv/bin/python -m benchmarks.photo_memory --pack DIR [--photos DIR] [--unlimited] [--only NAMES] [--out FILE]

Each photo is analyzed in a new process, after a warm-up with small photos in every input shape of the detector. The
result is the peak of the resident set during `analyze()` minus the resident set before, which already contains the
encoded bytes. Linux only: `/proc/self/clear_refs` resets the peak.

`one face` is half as high as the photo and analyzed with standard detail. `many faces` are 48 of about 120 pixels, for
which the full resolution is decoded. They are analyzed with standard and with thorough detail, whose tiles need another
resolution. Faces come from LFW with `--photos`, otherwise they are drawn. The service's limit of bytes is lifted; what
its limits of pixels refuse is reported as refused, unless `--unlimited` lifts them.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import io
import json
import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from app.domain.faces import Detail
from app.errors import ImageRefused
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.goals import at_most
from benchmarks.machine import describe_run
from benchmarks.photos import make_photos

SIZES = {"12 Mpx": (4000, 3000), "48 Mpx": (8064, 6048)}
FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG baseline": ("RGB", "JPEG", {"quality": 90}),
    "JPEG progressive": ("RGB", "JPEG", {"quality": 90, "progressive": True}),
    "PNG RGB": ("RGB", "PNG", {"compress_level": 1}),
    "JPEG CMYK": ("CMYK", "JPEG", {"quality": 90}),
    "HEIC": ("RGB", "HEIF", {"quality": 60}),
    "AVIF": ("RGB", "AVIF", {"quality": 70, "speed": 10}),
    "AVIF 4:4:4": ("RGB", "AVIF", {"quality": 70, "speed": 10, "subsampling": "4:4:4"}),
    "WebP": ("RGB", "WEBP", {"quality": 80, "method": 0}),
    "WebP, lossless": ("RGB", "WEBP", {"lossless": True, "quality": 0, "method": 0}),
    "WebP, transparent": ("RGBA", "WEBP", {"quality": 80, "method": 0}),
    "PNG RGBA": ("RGBA", "PNG", {"compress_level": 1}),
    "PNG palette": ("P", "PNG", {"compress_level": 1}),
    "GIF": ("P", "GIF", {}),
    "BMP": ("RGB", "BMP", {}),
    "TIFF": ("RGB", "TIFF", {}),
    "TIFF, LZW": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "TIFF, CMYK": ("CMYK", "TIFF", {}),
}
ANALYSES = {
    "one face": ("one", Detail.STANDARD),
    "many faces": ("many", Detail.STANDARD),
    "many faces, thorough": ("many", Detail.THOROUGH),
}
pillow_heif.register_heif_opener()

COLUMNS, ROWS = 8, 6
SMALL_HEAD = 240
"""Side in pixels of each pasted LFW photo (its center) among many faces; the face takes about half of it."""
TARGET_MB = 64
MB = 1e6


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Measure the memory of one photo above its pixels.")
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--photos", type=Path, help="LFW's photos, one folder per person; drawn people by default")
    parser.add_argument("--unlimited", action="store_true", help="lift the limits of pixels and memory")
    parser.add_argument("--only", help="formats to measure, separated by semicolons")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    table: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for size_name, size in SIZES.items():
            pictures = {"one": _one_face(size, arguments.photos), "many": _many_faces(size, arguments.photos)}
            for format_name in arguments.only.split(";") if arguments.only else FORMATS:
                row = table.setdefault(f"{format_name}, {size_name}", {"pixels, MB": round(size[0] * size[1] * 3 / MB)})
                for picture, image in pictures.items():
                    Path(directory, picture).write_bytes(_encode(image, format_name))
                for analysis, (picture, detail) in ANALYSES.items():
                    job = _Job(Path(directory, picture), format_name, arguments.pack, detail, arguments.unlimited)
                    row[analysis] = _measure(job, size)
                print(f"{format_name}, {size_name}: {row}", flush=True)
    goals = [
        at_most(f"{name}, {analysis}: memory above the pixels", TARGET_MB, row[analysis]["above its pixels, MB"], "MB")
        for name, row in table.items()
        for analysis in ANALYSES
        if "refused" not in row[analysis]
    ]
    result = {
        "what": "peak resident memory of one analyze() above the memory before and above width x height x 3",
        **describe_run(),
        "pack": arguments.pack.name,
        "limits lifted": arguments.unlimited,
        "photos": table,
        "goals": goals,
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
    for index, head in enumerate(heads):
        left = size[0] * (2 * (index % COLUMNS) + 1) // (2 * COLUMNS) - SMALL_HEAD // 2
        top = size[1] * (2 * (index // COLUMNS) + 1) // (2 * ROWS) - SMALL_HEAD // 2
        canvas.paste(head.resize((SMALL_HEAD, SMALL_HEAD), Image.Resampling.BICUBIC), (left, top))
    return _with_noise(canvas)


def _heads(count: int, lfw: Path | None) -> list[Image.Image]:
    return [Image.open(io.BytesIO(data)).convert("RGB") for data in make_photos("lfw", lfw, count)]


def _backdrop(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    return photo.resize((8, 6), Image.Resampling.BOX).resize(size, Image.Resampling.BICUBIC)


def _with_noise(canvas: Image.Image) -> Image.Image:
    """Add mild sensor noise, so that files are as large as those of a camera; works in bands to save memory."""
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
    elif mode != "RGB":
        picture = picture.convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Job:
    """One photo to analyze in a process of its own."""

    file: Path
    format_name: str
    pack: Path
    detail: Detail
    is_unlimited: bool


def _measure(job: _Job, size: tuple[int, int]) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        measured = pool.apply(_analyze_one, (job,))
    pixels_mb = size[0] * size[1] * 3 / MB
    return {
        **({} if "refused" in measured else {"above its pixels, MB": round(measured["peak, MB"] - pixels_mb, 1)}),
        **measured,
        "file, MB": round(job.file.stat().st_size / MB, 1),
    }


def _analyze_one(job: _Job) -> dict[str, Any]:
    """Analyze a photo; memory is counted from what is resident before."""
    settings: dict[str, Any] = {
        "model_pack": str(job.pack),
        "data_dir": str(job.file.parent / "data"),
        "inference_threads": 1,
        "max_image_bytes": 1 << 30,
    }
    if job.is_unlimited:
        settings["max_image_pixels"] = 1 << 40
    analyzer = build_analyzer(Settings.model_validate(settings))
    _warm(analyzer, job.format_name)
    data = job.file.read_bytes()
    before = _status_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    started = time.process_time()
    try:
        faces = len(analyzer.analyze(data, Embed.ALL, job.detail).faces)
    except ImageRefused as exc:
        return {"refused": exc.detail, "peak, MB": round(_status_mb("VmHWM") - before, 1)}
    return {
        "peak, MB": round(_status_mb("VmHWM") - before, 1),
        "kept afterwards, MB": round(_status_mb("VmRSS") - before, 1),
        "processor time, s": round(time.process_time() - started, 2),
        "faces": faces,
    }


def _warm(analyzer: FaceAnalyzer, format_name: str) -> None:
    head = _heads(1, None)[0]
    for size in ((250, 250), (390, 300), (640, 640), (640, 480), (480, 640), (640, 360), (360, 640)):
        analyzer.analyze(_encode(_backdrop(head, size), "JPEG baseline"), Embed.ALL)
    for detail in Detail:
        analyzer.analyze(_encode(head.resize((640, 640)), format_name), Embed.ALL, detail)
    analyzer.warm_up()


def _status_mb(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) * 1024 / MB


if __name__ == "__main__":
    main()
