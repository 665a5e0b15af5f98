"""Measure how long `vultus serve` takes to become ready, and the memory of one and of several workers.

    python -m benchmarks.starting --pack DIR [--out FILE]

The server is ready at the first response with status 200 from `/readyz`: the embedded PostgreSQL runs and is migrated,
the networks are loaded and have run once. The first start of a data directory also creates the database and Python's
bytecode, so it is reported separately. Memory is the proportional set size (shared pages count once) of all processes
of the server except PostgreSQL's, after 200 photos.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from benchmarks.machine import describe_run
from benchmarks.serving import drawn_photo, serving, sign_up

STARTS = 5
_POLL_S = 0.01


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Measure the start of the server and the memory of its workers.")
    parser.add_argument("--pack", default="synthetic")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    pack = str(Path(arguments.pack).resolve()) if Path(arguments.pack).is_dir() else arguments.pack
    result = {
        "what": "seconds until /readyz responds with 200; proportional set size in MB",
        "pack": Path(pack).name,
        **describe_run(),
        "starts": {f"{workers} workers": _starts(pack, workers) for workers in (1, 2)},
        "memory, MB": {f"{workers} workers": _memory(pack, workers) for workers in (1, 2, 4)},
    }
    memory = result["memory, MB"]
    result["memory of 4 workers against 1"] = round(memory["4 workers"] / memory["1 workers"], 2)
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


def _starts(pack: str, workers: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="vultus-start-") as directory:
        took = [_start(pack, workers, directory) for _ in range(STARTS + 1)]
    return {"first": round(took[0], 2), "median of later ones": round(statistics.median(took[1:]), 2)}


def _start(pack: str, workers: int, directory: str) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"VULTUS_DATA_DIR": directory, "VULTUS_MODEL_PACK": pack, "VULTUS_LOG_LEVEL": "error"}
    # Use a bytecode cache like an installation, regardless of the environment of this process.
    settings["PYTHONPYCACHEPREFIX"] = str(Path(directory) / "bytecode")
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [str(Path(sys.executable).parent / "vultus"), "serve", "--port", str(port), "--workers", str(workers)]
    started = time.perf_counter()
    with _process(command, {**inherited, **settings}) as process:
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    return time.perf_counter() - started
            except httpx.TransportError:
                pass
            if process.poll() is not None:
                raise SystemExit("the server did not become ready")
            time.sleep(_POLL_S)


@contextmanager
def _process(command: list[str], env: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, env=env)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _memory(pack: str, workers: int) -> float:
    with serving(workers=workers, VULTUS_MODEL_PACK=pack) as (api, admin):
        headers = sign_up(api, admin, {"recognize": "1000000/minute"})
        photos = [drawn_photo(seed, side=250) for seed in range(20)]

        def ask(index: int) -> None:
            files = {"image": ("photo.jpg", photos[index % len(photos)], "image/jpeg")}
            httpx.post(f"{api}/detect", headers=headers, files=files, timeout=60).raise_for_status()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(200)))
        processes = [child for child in psutil.Process().children(recursive=True) if "postgres" not in child.name()]
        return round(sum(child.memory_full_info().pss for child in processes) / 2**20, 1)


if __name__ == "__main__":
    main()
