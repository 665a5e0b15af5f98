"""Measure how much a tenant that floods the service slows down the requests of a light tenant.

    .venv/bin/python -m benchmarks.fairness [--out FILE]

One worker with one inference thread answers `POST /detect` with drawn faces. The light tenant sends one request at a
time, first alone, then while another tenant keeps 50 requests in flight. The phases alternate, so that a busy moment of
the machine affects both. For comparison, single requests of the flooding tenant itself are timed: this is what one
shared queue would cost everybody.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

import httpx

from benchmarks.machine import describe_run
from benchmarks.serving import drawn_photo, percentile, serving, sign_up

FLOOD = 50
ROUNDS = 4
SAMPLES = 40


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Measure a light tenant while another one floods the service.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rates = {"recognize": "10000000/minute"}
    with serving(VULTUS_INFERENCE_THREADS="1", VULTUS_INFERENCE_QUEUE="64") as (api, admin):
        light, heavy = sign_up(api, admin, rates), sign_up(api, admin, rates)
        timings = asyncio.run(_measure(api, light, heavy))
    alone = percentile(timings["alone"], 0.95)
    result = {
        "what": f"POST /detect, one light client against {FLOOD} requests in flight of another tenant; milliseconds",
        **describe_run(),
        "requests per phase": ROUNDS * SAMPLES,
        "phases": {
            name: {
                "p50": round(percentile(values, 0.5) * 1000, 1),
                "p95": round(percentile(values, 0.95) * 1000, 1),
                "p95 relative to alone": round(percentile(values, 0.95) / alone, 2),
            }
            for name, values in timings.items()
        },
    }
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


async def _measure(api: str, light: dict[str, str], heavy: dict[str, str]) -> dict[str, list[float]]:
    timings: dict[str, list[float]] = {"alone": [], "during the flood": [], "in the queue of the flooding tenant": []}
    limits = httpx.Limits(max_connections=FLOOD + 5)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        await _sample(client, api, light, 10)
        for _ in range(ROUNDS):
            timings["alone"] += await _sample(client, api, light, SAMPLES)
            stop = asyncio.Event()
            flood = [asyncio.create_task(_flood(client, api, heavy, stop)) for _ in range(FLOOD)]
            await asyncio.sleep(1)
            timings["during the flood"] += await _sample(client, api, light, SAMPLES)
            timings["in the queue of the flooding tenant"] += await _sample(client, api, heavy, SAMPLES // 4)
            stop.set()
            await asyncio.gather(*flood)
    return timings


async def _sample(client: httpx.AsyncClient, api: str, headers: dict[str, str], count: int) -> list[float]:
    taken: list[float] = []
    while len(taken) < count:
        started = time.perf_counter()
        response = await client.post(f"{api}/detect", headers=headers, files={"image": ("a.jpg", PHOTO, "image/jpeg")})
        if response.status_code == 503:  # the queue of the flooding tenant may be full
            continue
        response.raise_for_status()
        taken.append(time.perf_counter() - started)
    return taken


async def _flood(client: httpx.AsyncClient, api: str, headers: dict[str, str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        await client.post(f"{api}/detect", headers=headers, files={"image": ("a.jpg", PHOTO, "image/jpeg")})


PHOTO = drawn_photo(side=960)

if __name__ == "__main__":
    main()
