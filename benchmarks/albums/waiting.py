"""How long a photo waits: alone, behind another tenant's thousands, and what a request notices of a running album."""

import statistics
import time
from typing import Any

import httpx

from benchmarks.albums.stage import Stage, Tenant
from benchmarks.goals import at_most
from benchmarks.photos import make_photos
from benchmarks.serving import percentile

BACKLOG, WITH_OBJECTS = 10_000, 4_000
SINGLE_PHOTOS = 25
LIGHT_PHOTOS = 100
RECOGNIZED, PAUSE_S = 250, 0.05


def measure_first_photo(stage: Stage) -> dict[str, Any]:
    """Send single photos, alone and while another tenant's album is processed."""
    with stage.serving() as api:
        light, heavy = stage.new_tenant(api), stage.new_tenant(api)
        album = stage.new_album(api, light)
        with stage.working():
            _time_single(stage, api, light, album, 2)  # the worker has started
            alone = _time_single(stage, api, light, album, SINGLE_PHOTOS)
            stage.fill(api, heavy, stage.new_album(api, heavy), BACKLOG, with_objects=WITH_OBJECTS)
            time.sleep(3)
            behind = _time_single(stage, api, light, album, SINGLE_PHOTOS)
            left = stage.ask("SELECT count(*) FROM photos WHERE tenant_id = $1 AND state = 'received'", heavy.id)[0][0]
            stage.clear(heavy)
    return {
        "photos": SINGLE_PHOTOS,
        "backlog_at_the_end": left,
        "alone_s": _spread(alone),
        "behind_s": _spread(behind),
        "goals": [
            at_most("the first photo, idle, p95", 2, round(percentile(alone, 0.95), 2), "s"),
            at_most(
                "the first photo behind 10,000 of another tenant, p95", 30, round(percentile(behind, 0.95), 2), "s"
            ),
        ],
    }


def measure_light_tenant(stage: Stage) -> dict[str, Any]:
    """Send 100 photos, alone and while another tenant's album is processed."""
    with stage.serving() as api:
        light, heavy = stage.new_tenant(api), stage.new_tenant(api)
        album = stage.new_album(api, light)
        with stage.working():
            _time_single(stage, api, light, album, 2)
            alone = [_time_many(stage, api, light, album) for _ in range(3)]
            stage.fill(api, heavy, stage.new_album(api, heavy), BACKLOG, with_objects=WITH_OBJECTS)
            time.sleep(3)
            beside = [_time_many(stage, api, light, album) for _ in range(3)]
            stage.clear(heavy)
    ratio = statistics.median(beside) / statistics.median(alone)
    return {
        "photos": LIGHT_PHOTOS,
        "alone_s": [round(one, 2) for one in alone],
        "beside_s": [round(one, 2) for one in beside],
        "goals": [at_most("100 photos beside another tenant's 10,000, against alone", 2.2, round(ratio, 2), "times")],
    }


def measure_recognition(stage: Stage) -> dict[str, Any]:
    """Recognize people in small photos, idle and while an album is processed in the server or beside it."""
    probes = make_photos("lfw", stage.inputs.photos, 60)
    rows = {}
    with stage.serving() as api:
        tenant, heavy = stage.new_tenant(api), stage.new_tenant(api)
        _enroll(api, tenant, probes)
        rows["idle"] = _recognize(api, tenant, probes)
        stage.fill(api, heavy, stage.new_album(api, heavy), BACKLOG, with_objects=WITH_OBJECTS)
        with stage.working():
            time.sleep(5)
            rows["a worker beside the server, at a low priority"] = _recognize(api, tenant, probes)
    with stage.serving(VULTUS_ALBUM_WORKER="true") as api:
        time.sleep(2)
        rows["a worker in the server"] = _recognize(api, tenant, probes)
        stage.clear(heavy)
    idle = percentile(rows["idle"], 0.95)
    return {
        "requests": RECOGNIZED,
        "pause_s": PAUSE_S,
        "ms": {name: _spread([1000 * one for one in times]) for name, times in rows.items()},
        "goals": [
            at_most(f"/recognize p95 with {name}, against idle", 1.5, round(percentile(times, 0.95) / idle, 2), "times")
            for name, times in rows.items()
            if name != "idle"
        ],
    }


def _time_single(stage: Stage, api: str, tenant: Tenant, album: str, count: int) -> list[float]:
    """Send photos one after the other; return the seconds from each request to the end of its processing."""
    return [_time_photos(stage, api, tenant, album, 1) for _ in range(count)]


def _time_many(stage: Stage, api: str, tenant: Tenant, album: str) -> float:
    return _time_photos(stage, api, tenant, album, LIGHT_PHOTOS)


def _time_photos(stage: Stage, api: str, tenant: Tenant, album: str, count: int) -> float:
    started_at = time.time()
    stage.send(api, tenant, album, count)
    stage.wait(tenant)
    last = "SELECT extract(epoch FROM max(finished_at))::float8 AS at FROM photos WHERE tenant_id = $1"
    return float(stage.ask(last, tenant.id)[0]["at"]) - started_at


def _enroll(api: str, tenant: Tenant, photos: list[bytes]) -> None:
    with httpx.Client(headers=tenant.headers, timeout=60) as client:
        for number, photo in enumerate(photos[:30]):
            files = {"images": ("a.jpg", photo, "image/jpeg")}
            client.post(f"{api}/register", data={"subject": f"s{number}", "face": "largest"}, files=files)


def _recognize(api: str, tenant: Tenant, photos: list[bytes]) -> list[float]:
    """Return the seconds of requests of one client that pauses between them."""
    times = []
    with httpx.Client(headers=tenant.headers, timeout=60) as client:
        for number in range(RECOGNIZED):
            files = {"image": ("a.jpg", photos[number % len(photos)], "image/jpeg")}
            started_at = time.perf_counter()
            client.post(f"{api}/recognize", files=files).raise_for_status()
            times.append(time.perf_counter() - started_at)
            time.sleep(PAUSE_S)
    return times[10:]


def _spread(values: list[float]) -> dict[str, float]:
    return {"p50": round(percentile(values, 0.5), 3), "p95": round(percentile(values, 0.95), 3)}
