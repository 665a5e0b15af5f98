"""A light tenant beside one that floods 50 to 1: how much slower do the light one's requests get?

    .venv/bin/python -m benchmarks.fairness [--out FILE]

One worker with one inference thread, drawn faces, `POST /detect`. The light tenant sends one request at a time, first
alone, then while another tenant keeps 50 in flight; phases take turns, so that a busy moment of the machine hits both.
For comparison the same with the light tenant in the flooder's own line, which is what one queue for all would do.
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
    parser = argparse.ArgumentParser(description="Measure a light tenant beside a flooding one.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rates = {"recognize": "10000000/minute"}
    with serving(VULTUS_INFERENCE_THREADS="1", VULTUS_INFERENCE_QUEUE="64") as (api, admin):
        light, heavy = sign_up(api, admin, rates), sign_up(api, admin, rates)
        timings = asyncio.run(_measure(api, light, heavy))
    alone = percentile(timings["alone"], 0.95)
    result = {
        "what": f"POST /detect, one light client beside {FLOOD} requests in flight of another tenant; milliseconds",
        **describe_run(),
        "requests a phase": ROUNDS * SAMPLES,
        "phases": {
            name: {
                "p50": round(percentile(values, 0.5) * 1000, 1),
                "p95": round(percentile(values, 0.95) * 1000, 1),
                "p95 against alone": round(percentile(values, 0.95) / alone, 2),
            }
            for name, values in timings.items()
        },
    }
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


async def _measure(api: str, light: dict[str, str], heavy: dict[str, str]) -> dict[str, list[float]]:
    timings: dict[str, list[float]] = {"alone": [], "beside the flood": [], "in the flooder's own line": []}
    limits = httpx.Limits(max_connections=FLOOD + 5)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        await _sample(client, api, light, 10)
        for _ in range(ROUNDS):
            timings["alone"] += await _sample(client, api, light, SAMPLES)
            stop = asyncio.Event()
            flood = [asyncio.create_task(_flood(client, api, heavy, stop)) for _ in range(FLOOD)]
            await asyncio.sleep(1)
            timings["beside the flood"] += await _sample(client, api, light, SAMPLES)
            timings["in the flooder's own line"] += await _sample(client, api, heavy, SAMPLES // 4)
            stop.set()
            await asyncio.gather(*flood)
    return timings


async def _sample(client: httpx.AsyncClient, api: str, headers: dict[str, str], count: int) -> list[float]:
    taken: list[float] = []
    while len(taken) < count:
        started = time.perf_counter()
        answer = await client.post(f"{api}/detect", headers=headers, files={"image": ("a.jpg", PHOTO, "image/jpeg")})
        if answer.status_code == 503:  # the flooder's own line may be full
            continue
        answer.raise_for_status()
        taken.append(time.perf_counter() - started)
    return taken


async def _flood(client: httpx.AsyncClient, api: str, headers: dict[str, str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        await client.post(f"{api}/detect", headers=headers, files={"image": ("a.jpg", PHOTO, "image/jpeg")})


PHOTO = drawn_photo(side=960)

if __name__ == "__main__":
    main()
