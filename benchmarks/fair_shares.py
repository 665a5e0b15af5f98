"""Measure how a tenant with large photos and one with small photos share the inference threads.

    .venv/bin/python -m benchmarks.fair_shares [--out FILE]

One worker with one inference thread answers `POST /detect`. Each tenant keeps the same number of requests in flight:
one sends drawn photos of 49 megapixels, the other of 0.1 megapixels. Each is measured alone, then both at the same
time. With fair shares, both keep about half of the photos per second that they have alone.
"""

import argparse
import asyncio
import io
import json
import time
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from benchmarks.goals import at_least
from benchmarks.machine import describe_run
from benchmarks.serving import drawn_photo, serving, sign_up

IN_FLIGHT = 8
ROUNDS = 3
SECONDS = 8
LARGE_SIDE = 7_000
MIN_SHARE = 0.35
"""Of the throughput alone; half of the time less what the client takes on the same cores."""


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Measure how tenants with large and small photos share the threads.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rates = {"recognize": "10000000/minute"}
    with serving(VULTUS_INFERENCE_THREADS="1", VULTUS_INFERENCE_QUEUE="64", VULTUS_INFERENCE_DEADLINE_S="60") as (
        api,
        admin,
    ):
        tenants = {"small": sign_up(api, admin, rates), "large": sign_up(api, admin, rates)}
        rows = asyncio.run(_measure(api, tenants))
    shares = {name: rows["together"][name] / rows["alone"][name] for name in tenants}
    result = {
        "what": f"POST /detect, {IN_FLIGHT} requests in flight of each tenant; photos per second",
        **describe_run(),
        "large photos, megapixels": LARGE_SIDE**2 / 1e6,
        "photos per second": {
            phase: {name: round(rate, 2) for name, rate in row.items()} for phase, row in rows.items()
        },
        "share of the throughput alone": {name: round(share, 2) for name, share in shares.items()},
        "goals": [
            at_least(f"share of the tenant with {name} photos", MIN_SHARE, round(share, 3), "of its throughput alone")
            for name, share in shares.items()
        ],
    }
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


async def _measure(api: str, tenants: dict[str, dict[str, str]]) -> dict[str, dict[str, float]]:
    """Return the photos per second of each tenant, alone and together; the phases alternate."""
    done: dict[str, dict[str, int]] = {phase: dict.fromkeys(tenants, 0) for phase in ("alone", "together")}
    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=4 * IN_FLIGHT)) as client:
        for _ in range(ROUNDS):
            for name, headers in tenants.items():
                done["alone"][name] += await _send(client, api, headers, PHOTOS[name])
            counts = await asyncio.gather(
                *[_send(client, api, headers, PHOTOS[name]) for name, headers in tenants.items()]
            )
            for name, count in zip(tenants, counts, strict=True):
                done["together"][name] += count
    return {
        phase: {name: count / (ROUNDS * SECONDS) for name, count in counts.items()} for phase, counts in done.items()
    }


async def _send(client: httpx.AsyncClient, api: str, headers: dict[str, str], photo: bytes) -> int:
    """Keep requests in flight for some seconds; return how many were answered in them."""
    end, answered = time.monotonic() + SECONDS, 0

    async def send() -> None:
        nonlocal answered
        while time.monotonic() < end:
            response = await client.post(f"{api}/detect", headers=headers, files={"image": ("a.jpg", photo)})
            response.raise_for_status()
            answered += time.monotonic() < end

    await asyncio.gather(*[send() for _ in range(IN_FLIGHT)])
    return answered


def _enlarged(photo: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo)).resize((LARGE_SIDE, LARGE_SIDE)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


PHOTOS: dict[str, Any] = {"small": drawn_photo(side=320), "large": _enlarged(drawn_photo(side=960))}


if __name__ == "__main__":
    main()
