"""Run a temporary `vultus serve` for benchmarks: embedded PostgreSQL, the synthetic pack, a plan without quotas."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx

from app.ml.synthetic.portraits import Person, draw_portrait
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate


@contextmanager
def serving(*, workers: int = 1, **env: str) -> Iterator[tuple[str, str]]:
    """Run a server during the block; yields the address of its API and the owner's address of its database."""
    with tempfile.TemporaryDirectory(prefix="vultus-bench-") as directory:
        postgres = EmbeddedPostgres(Path(directory))
        postgres.start()
        admin = asyncio.run(postgres.ensure_database())
        migrate(admin)
        try:
            with started_server(Path(directory), workers=workers, **env) as (base, _):
                yield f"{base}/api/v1", admin
        finally:
            postgres.stop()


@contextmanager
def started_server(directory: Path, *, workers: int = 1, **env: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run `vultus serve` on a data directory during the block; yields its address and process once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"VULTUS_DATA_DIR": str(directory), "VULTUS_MODEL_PACK": "synthetic", "VULTUS_LOG_LEVEL": "error"}
    command = [str(Path(sys.executable).parent / "vultus"), "serve", "--port", str(port), "--workers", str(workers)]
    process = subprocess.Popen(command, env={**os.environ, **settings, **env})
    base = f"http://127.0.0.1:{port}"
    try:
        _wait(base, process)
        yield base, process
    finally:
        process.terminate()  # no effect if it was killed
        process.wait(timeout=60)


def sign_up(api: str, admin: str, rates: dict[str, str]) -> dict[str, str]:
    """Create a tenant on a plan with these rates and no quotas; returns the headers of its admin."""
    email, password = f"{uuid4().hex}@example.com", uuid4().hex
    created = httpx.post(f"{api}/auth/signup", json={"tenant": "bench", "email": email, "password": password})
    asyncio.run(_put_on_plan(admin, created.raise_for_status().json()["tenant_id"], rates))
    token = httpx.post(f"{api}/auth/token", data={"username": email, "password": password}).raise_for_status().json()
    return {"authorization": f"Bearer {token['access_token']}"}


def drawn_photo(seed: int = 1, side: int = 320) -> bytes:
    """Draw a JPEG of one person, `side` pixels wide and high."""
    import io

    buffer = io.BytesIO()
    draw_portrait(Person(seed), side=side).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def percentile(values: list[float], share: float) -> float:
    """Return the value at this share (0 to 1) of the sorted values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


async def _put_on_plan(admin: str, tenant_id: str, rates: dict[str, str]) -> None:
    import asyncpg

    name = uuid4().hex
    connection = await asyncpg.connect(admin)
    await connection.execute("INSERT INTO plans (name, rates, quotas) VALUES ($1, $2, '{}')", name, json.dumps(rates))
    await connection.execute("UPDATE tenants SET plan = $1 WHERE id = $2", name, tenant_id)
    await connection.close()


_READY_WITHIN_S = 180
"""An idle machine needs two seconds."""


def _wait(base: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            if httpx.get(f"{base}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the server did not become ready")
        time.sleep(0.1)
