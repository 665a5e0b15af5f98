"""Check that memory stays constant over many photos of all sizes, formats and numbers of faces.

    .venv/bin/python -m benchmarks.inference_soak --pack DIR [--photos DIR] [--inferences N] [--unsteady]
                                                  [--out FILE] [--plot FILE]

The script runs `build_analyzer(...).analyze(..., Embed.ALL)` on one thread per core. Other processes create the photos
meanwhile: 100 x 100 pixels to 12 megapixels, more often small, with 0 to 20 pasted faces. Most are JPEG, some PNG and
WebP, and some have an EXIF orientation. The detail is mostly standard, sometimes fast or thorough. Faces come from LFW
with `--photos`, otherwise they are drawn. The photos depend only on the number of cores, but their order varies.

Resident and anonymous memory are read after every 200 inferences, while none is running. "Warm" is the resident memory
after the first 1,000 inferences. The slope is that of the least-squares line through all later readings. `--unsteady`
leaves out the malloc settings of `app.ml.memory`. Linux only.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import json
import math
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.domain.faces import Detail
from app.errors import ImageRefused
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring import analyzer as wiring
from benchmarks.machine import describe_run

EVERY = 200
WARM_AFTER = 1000
SMALLEST_PIXELS, LARGEST_PIXELS = 100 * 100, 12_000_000
MAX_FACES = 20
FORMATS = {".jpg": 0.85, ".png": 0.08, ".webp": 0.07}
LARGEST_PNG_PIXELS = 2_000_000  # larger ones would exceed the size limit
DETAILS = {Detail.STANDARD: 0.85, Detail.FAST: 0.1, Detail.THOROUGH: 0.05}
WITH_ORIENTATION = 0.25
HEADS = 300
MAX_SLOPE_MB, MAX_GROWTH = 1.0, 0.15
MB = 1e6

Pixels = NDArray[np.uint8]
Task = tuple[bytes, Detail]


def main() -> None:
    """Measure, print JSON and draw the plot."""
    parser = argparse.ArgumentParser(description="Measure memory over many inferences.")
    parser.add_argument("--pack", required=True, help="a pack's directory or name")
    parser.add_argument("--photos", type=Path, help="LFW's photos, one folder per person; drawn people by default")
    parser.add_argument("--inferences", type=int, default=20_000)
    parser.add_argument("--unsteady", action="store_true", help="leave out the malloc settings of app.ml.memory")
    parser.add_argument("--providers", default="auto")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    if arguments.unsteady:
        vars(wiring)["steady_memory"] = lambda: False
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, _photos(arguments.photos, cores) as next_photo:
        settings = {"model_pack": arguments.pack, "providers": arguments.providers, "data_dir": directory}
        analyzer = wiring.build_analyzer(Settings.model_validate(settings))
        readings, counts = _soak(analyzer, next_photo, arguments.inferences, cores)
    warm_after = min(WARM_AFTER, arguments.inferences // 4 // EVERY * EVERY)
    result = {
        "what": "resident memory of one process over inferences of varying sizes, formats and numbers of faces",
        **describe_run(),
        "pack": analyzer.engine.info.pack,
        "providers": analyzer.engine.info.providers,
        "precision": analyzer.engine.info.precision,
        "threads": cores,
        "memory settings of app.ml.memory": not arguments.unsteady,
        "inferences": arguments.inferences,
        "minutes": round((time.monotonic() - started) / 60, 1),
        **counts,
        **_judge(readings, warm_after),
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")
    if arguments.plot:
        _draw(readings, result, warm_after, arguments.plot)


def _soak(
    analyzer: FaceAnalyzer, next_photo: Callable[[], Task], inferences: int, cores: int
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return readings `(inferences, resident MB, anonymous MB)`, and the counts of faces and refusals."""
    refused: Counter[str] = Counter()

    def analyze_next(_: int) -> int:
        data, detail = next_photo()
        try:
            return len(analyzer.analyze(data, Embed.ALL, detail).faces)
        except ImageRefused as exc:
            refused[exc.code] += 1
            return 0

    readings = [(0.0, *_memory_mb())]
    faces: list[int] = []
    with ThreadPoolExecutor(cores) as pool:
        while len(faces) < inferences:
            faces += pool.map(analyze_next, range(min(EVERY, inferences - len(faces))))
            readings.append((float(len(faces)), *_memory_mb()))
            if len(faces) % 1000 < EVERY:
                print(f"{len(faces)}: {readings[-1][1]:.0f} MB resident", flush=True)
    counts = {
        "faces": {"none": faces.count(0), "mean": round(float(np.mean(faces)), 2), "max": max(faces)},
        "refused": dict(refused),
    }
    return np.array(readings), counts


def _judge(readings: NDArray[np.float64], warm_after: int) -> dict[str, Any]:
    done, resident, anonymous = readings.T
    is_later = done >= warm_after
    warm_mb, final_mb = float(resident[is_later][0]), float(resident[-1])
    slope_mb = 1000 * float(np.polyfit(done[is_later], resident[is_later], 1)[0])
    anonymous_slope_mb = 1000 * float(np.polyfit(done[is_later], anonymous[is_later], 1)[0])
    return {
        "resident at the start, MB": round(float(resident[0]), 1),
        "warm after": warm_after,
        "resident when warm, MB": round(warm_mb, 1),
        "resident at the end, MB": round(final_mb, 1),
        "maximum resident between inferences, MB": round(float(resident.max()), 1),
        "peak resident, MB": round(_peak_mb(), 1),
        "anonymous at the end, MB": round(float(anonymous[-1]), 1),
        "slope, MB per 1,000 inferences": round(slope_mb, 3),
        "slope of anonymous memory, MB per 1,000 inferences": round(anonymous_slope_mb, 3),
        "goals": {
            f"slope below {MAX_SLOPE_MB:g} MB per 1,000": slope_mb < MAX_SLOPE_MB,
            f"at the end at most {MAX_GROWTH:.0%} above warm": final_mb <= warm_mb * (1 + MAX_GROWTH),
        },
        "resident by inferences, MB": {
            str(int(count)): round(float(value), 1)
            for count, value in zip(done, resident, strict=True)
            if count % 1000 == 0
        },
    }


def _memory_mb() -> tuple[float, float]:
    rows = Path("/proc/self/smaps_rollup").read_text()
    resident, anonymous = (int(rows.partition(f"\n{name}:")[2].split()[0]) * 1024 / MB for name in ("Rss", "Anonymous"))
    return resident, anonymous


def _peak_mb() -> float:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024 / MB


def _draw(readings: NDArray[np.float64], result: dict[str, Any], warm_after: int, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    done, resident, anonymous = readings.T
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=110)
    axes.plot(done, resident, label="resident")
    axes.plot(done, anonymous, label="anonymous")
    limit = result["resident when warm, MB"] * (1 + MAX_GROWTH)
    axes.axhline(limit, color="gray", linestyle="dashed", label=f"warm + {MAX_GROWTH:.0%}")
    axes.axvline(warm_after, color="gray", linewidth=0.8)
    axes.set(xlabel="inferences", ylabel="MB", ylim=(0, None))
    slope = result["slope, MB per 1,000 inferences"]
    axes.set_title(f"Memory of one process, {slope:+.2f} MB per 1,000 inferences ({result['commit']})")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


@contextmanager
def _photos(lfw: Path | None, producers: int) -> Iterator[Callable[[], Task]]:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[Task] = context.Queue(maxsize=8 * producers)
    processes = [
        context.Process(target=_make_photos, args=(queue, lfw, seed), daemon=True) for seed in range(producers)
    ]
    for process in processes:
        process.start()
    try:
        yield lambda: queue.get(timeout=300)
    finally:
        for process in processes:
            process.terminate()


def _make_photos(queue: "multiprocessing.Queue[Task]", lfw: Path | None, seed: int) -> None:
    os.nice(5)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    heads = _heads(lfw)
    details, shares = list(DETAILS), list(DETAILS.values())
    while True:
        queue.put((_make_photo(heads, rng), details[int(rng.choice(len(details), p=shares))]))


def _make_photo(heads: list[Pixels], rng: np.random.Generator) -> bytes:
    suffix = str(rng.choice(list(FORMATS), p=list(FORMATS.values())))
    largest = LARGEST_PNG_PIXELS if suffix == ".png" else LARGEST_PIXELS
    # The square favors small photos: half of them have less than 60,000 pixels, 1 in 12 has more than 4 million.
    pixels = SMALLEST_PIXELS * (largest / SMALLEST_PIXELS) ** (rng.random() ** 2)
    ratio = 2.0 ** rng.uniform(-1, 1)
    width = max(100, round(math.sqrt(pixels * ratio)))
    height = max(100, round(pixels / width))
    coarse = rng.integers(0, 255, (4, 4, 3), np.uint8)
    canvas = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    _paste(canvas, heads, int(rng.integers(0, MAX_FACES + 1)), rng)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))] if suffix == ".jpg" else []
    quality += [cv2.IMWRITE_WEBP_QUALITY, 80] if suffix == ".webp" else []
    data = cv2.imencode(suffix, canvas, quality)[1].tobytes()
    return (
        _set_orientation(data, int(rng.integers(2, 9)))
        if suffix == ".jpg" and rng.random() < WITH_ORIENTATION
        else data
    )


def _paste(canvas: Pixels, heads: list[Pixels], count: int, rng: np.random.Generator) -> None:
    """Paste `count` heads, each at a random position in its cell of a grid."""
    columns = math.ceil(math.sqrt(count)) or 1
    rows = math.ceil(count / columns)
    for index in range(count):
        cell_width, cell_height = canvas.shape[1] // columns, canvas.shape[0] // rows
        side = max(8, int(min(cell_width, cell_height) * rng.uniform(0.4, 1)))
        left = index % columns * cell_width + int(rng.integers(0, cell_width - side + 1))
        top = index // columns * cell_height + int(rng.integers(0, cell_height - side + 1))
        head = heads[int(rng.integers(len(heads)))]
        canvas[top : top + side, left : left + side] = cv2.resize(head, (side, side), interpolation=cv2.INTER_LINEAR)


def _set_orientation(jpeg: bytes, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    block = exif.tobytes()
    return jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + jpeg[2:]


def _heads(lfw: Path | None) -> list[Pixels]:
    """Return square BGR pictures with one head each."""
    if lfw is not None:
        files = sorted(lfw.glob("*/*.jpg"))
        chosen = np.random.default_rng(0).permutation(len(files))[:HEADS]
        pictures = [np.asarray(Image.open(files[index]).convert("RGB"))[30:220, 30:220] for index in chosen]
    else:
        from app.ml.synthetic.portraits import Person, Variation, draw_portrait

        rng = np.random.default_rng(0)
        pictures = [
            np.asarray(draw_portrait(Person(seed), Variation.random(rng), side=190)) for seed in range(HEADS // 3)
        ]
    return [np.ascontiguousarray(picture[:, :, ::-1]) for picture in pictures]


if __name__ == "__main__":
    main()
