"""Stop a server of two workers under load, and count the answers that are cut off.

Clients send photos and small requests over kept connections until the server refuses new connections. An answer is
cut off if the connection ends after the request was sent and before its answer was complete.
"""

import asyncio
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from benchmarks.goals import at_least, at_most
from benchmarks.serving import drawn_photo, sign_up, started_server

CLIENTS = 16
_BEFORE_STOP = 10 * CLIENTS
_RATES = dict.fromkeys(("register", "recognize", "delete", "read", "embeddings", "admin"), "unlimited")


def prove_draining(times: int) -> dict[str, Any]:
    """Stop a server so many times; returns figures and goals."""
    outcomes, codes = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="vultus-bench-") as directory:
        postgres = EmbeddedPostgres(Path(directory))
        postgres.start()
        admin = asyncio.run(postgres.ensure_database())
        migrate(admin)
        try:
            for _ in range(times):
                with started_server(Path(directory), workers=2) as (base, process):
                    headers = sign_up(f"{base}/api/v1", admin, _RATES)
                    outcomes += asyncio.run(_stop_under_load(f"{base}/api/v1", headers, process))
                    codes[str(process.wait(timeout=60))] += 1
        finally:
            postgres.stop()
    return {
        "what": f"{CLIENTS} clients send requests while a server of two workers receives SIGTERM, {times} times",
        "outcomes": dict(outcomes),
        "exit codes": dict(codes),
        "goals": [
            at_least("draining: answers", times * _BEFORE_STOP, outcomes["answered"], "answers"),
            at_most("draining: answers cut off", 0, outcomes["cut off"], "answers"),
        ],
    }


async def _stop_under_load(api: str, headers: dict[str, str], process: Any) -> Counter[str]:
    outcomes = Counter[str]()

    async def ask(number: int) -> None:
        files = {"image": ("a.jpg", _PHOTO, "image/jpeg")}
        async with httpx.AsyncClient(base_url=api, headers=headers, timeout=60) as client:
            while True:
                try:
                    if number % 2:
                        answer = await client.post("/detect", files=files)
                    else:
                        answer = await client.get("/collections")
                    outcomes["answered"] += 1
                    outcomes[f"status {answer.status_code}"] += 1
                except httpx.ConnectError:
                    outcomes["refused connections"] += 1
                    return
                except httpx.TransportError as exc:
                    outcomes["cut off"] += 1
                    outcomes[f"cut off: {type(exc).__name__}"] += 1

    asking = [asyncio.create_task(ask(number)) for number in range(CLIENTS)]
    while outcomes["answered"] < _BEFORE_STOP:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    await asyncio.gather(*asking)
    return outcomes


_PHOTO = drawn_photo()
