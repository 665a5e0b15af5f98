"""How fast a worker is against a bare loop of the same analysis, and how long many photos take from their upload on."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

from app.domain.faces import Face, QualityBar, QualityReason
from app.ml.analysis import FaceAnalyzer
from app.services.albums.turns import PHOTOS_A_TURN
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from app.wiring.process import SWITCH_INTERVAL_S
from benchmarks.albums.stage import MOSAICS, Stage, Tenant
from benchmarks.goals import at_least, at_most

ROUNDS, PHOTOS = 4, 384
UPLOADED = 1200
WHOLE = 10_000
_CLEAN_WITHIN_S = 60


def measure_worker(stage: Stage) -> dict[str, Any]:
    """Take turns: a bare loop over the photos in memory, a worker over photos that wait.

    The best rounds are compared. That is valid on an idle machine only: a share well above 1 means that other programs
    ran during the bare loop, since a worker does everything that the loop does and more.
    """
    analyzer, threads = _load(stage), os.cpu_count() or 1
    bare, worker = list[float](), list[float]()
    with stage.serving() as api, ThreadPoolExecutor(threads) as pool:
        _run_bare(stage, analyzer, pool)  # nothing is timed that a thread does only once
        for _ in range(ROUNDS):
            tenant = stage.new_tenant(api)
            album = stage.new_album(api, tenant)
            stage.fill(api, tenant, album, PHOTOS - 1, with_objects=PHOTOS - 1)
            bare.append(_run_bare(stage, analyzer, pool))
            with stage.working():
                stage.wait(tenant)
            worker.append(_rate_of(stage, tenant))
    share = max(worker) / max(bare)
    return {
        "photos_a_round": PHOTOS,
        "threads": threads,
        "bare_photos_per_s": [round(rate, 2) for rate in bare],
        "worker_photos_per_s": [round(rate, 2) for rate in worker],
        "goals": [at_least("a worker against a bare loop on the same cores", 0.9, round(share, 3), "share")],
    }


def _load(stage: Stage) -> FaceAnalyzer:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    analyzer = build_analyzer(
        Settings.model_validate({"model_pack": stage.env["VULTUS_MODEL_PACK"], "data_dir": stage.directory})
    )
    analyzer.warm_up()
    return analyzer


def _run_bare(stage: Stage, analyzer: FaceAnalyzer, pool: ThreadPoolExecutor) -> float:
    """Return the photos per second of a loop that only analyzes, with the embeddings that a worker stores."""

    def choose(faces: Sequence[Face]) -> list[int]:
        return [
            index
            for index, face in enumerate(faces)
            if all(one.reason is QualityReason.UNRELIABLE for one in analyzer.judge(face, QualityBar.LOW))
        ]

    started_at = time.perf_counter()
    list(pool.map(lambda number: analyzer.analyze(stage.mosaics[number % MOSAICS], choose), range(PHOTOS)))
    return PHOTOS / (time.perf_counter() - started_at)


def _rate_of(stage: Stage, tenant: Tenant) -> float:
    """Return the photos per second that a worker finished after its first ones, without its start.

    When the first turn is stored, another turn may be analyzed already: its photos are not counted either.
    """
    rows = stage.ask(
        "SELECT extract(epoch FROM finished_at)::float8 AS at, count(*) AS photos FROM photos "
        "WHERE tenant_id = $1 AND state = 'done' GROUP BY 1 ORDER BY 1",
        tenant.id,
    )
    later = sum(row["photos"] for row in rows[1:]) - PHOTOS_A_TURN
    return float(later / (rows[-1]["at"] - rows[0]["at"]))


def measure_upload(stage: Stage) -> dict[str, Any]:
    """Upload a directory with `vultus albums upload` beside a server and a worker on the same cores."""
    folder = stage.directory / "upload"
    folder.mkdir()
    for number in range(UPLOADED):
        (folder / f"{number}.jpg").write_bytes(stage.mosaics[number % MOSAICS])
    with stage.serving() as api, stage.working() as worker:
        tenant = stage.new_tenant(api)
        scopes = {"name": "upload", "scopes": ["register"]}
        key = httpx.post(f"{api}/keys", headers=tenant.headers, json=scopes).raise_for_status().json()["key"]
        time.sleep(5)  # the worker has loaded its models
        command = [str(Path(sys.executable).parent / "vultus"), "albums", "upload", "event", str(folder), "--create"]
        env = {**os.environ, "VULTUS_API_KEY": key}
        started_at = time.perf_counter()
        subprocess.run([*command, "--url", api.removesuffix("/api/v1")], env=env, check=True)
        seconds = time.perf_counter() - started_at
        seconds_of_worker = psutil.Process(worker.pid).cpu_times()
        clean_s = _wait_until_clean(stage)
    whole_s = seconds * WHOLE / UPLOADED
    return {
        "photos": UPLOADED,
        "bytes_a_photo": sum(map(len, stage.mosaics)) // MOSAICS,
        "seconds": round(seconds, 1),
        "extrapolated_to": WHOLE,
        "worker_cpu_ms_a_photo": round(1000 * (seconds_of_worker.user + seconds_of_worker.system) / UPLOADED, 1),
        "spool_empty_after_s": clean_s,
        "goals": [
            at_most("10,000 photos from the first upload to the last stored face", 360, round(whole_s, 1), "s"),
            at_most("objects in the spool 60 s after the end", 0, stage.count_objects(), "objects"),
        ],
    }


def _wait_until_clean(stage: Stage) -> float | None:
    """Return the seconds until the spool is empty; None if it is not within a minute."""
    started_at = time.monotonic()
    while time.monotonic() - started_at < _CLEAN_WITHIN_S:
        if not stage.count_objects():
            return round(time.monotonic() - started_at, 1)
        time.sleep(0.5)
    return None
