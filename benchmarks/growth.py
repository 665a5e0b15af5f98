"""Measure what a recognition costs beside many tenants, keys and audit entries: a part of `benchmarks.hot_path`.

    python -m benchmarks.growth [--photos DIR --pack DIR] [--rounds N]

Two servers with one database each: an almost empty one, and one with 10,000 tenants, 100,000 API keys of the caller's
tenant, and 1,000,000 entries in its audit trail. Every round sends both the same photos with an API key, in turn, so
that a machine that becomes slower changes both. The ratio is the median of the rounds.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import numpy as np

from app.ml.synthetic.pack import write_synthetic_pack
from benchmarks.bare_client import prepare
from benchmarks.goals import at_most
from benchmarks.layer2_sequential import (
    Target,
    add_data_arguments,
    check_data_arguments,
    draw_people,
    exit_on_sigterm,
    note,
    settle,
    vultus_server,
)
from benchmarks.photos import as_form, make_photos
from benchmarks.processor_meter import Meter

TENANTS, KEYS, ENTRIES = 10_000, 100_000, 1_000_000
REQUESTS = 120
"""Photos per round and server."""
MAX_RATIO = 1.05

_FILL = (
    """
    WITH new AS (INSERT INTO tenants (id, name) SELECT gen_random_uuid(), 'tenant ' || n
                 FROM generate_series(2, {tenants}) n RETURNING id)
    INSERT INTO tenant_usage (tenant_id) SELECT id FROM new
    """,
    """
    INSERT INTO api_keys (tenant_id, id, public_id, key_id, scopes, name, secret_hmac)
    SELECT '{tenant}', gen_random_uuid(), 'filled' || n, 'none', ARRAY['recognize'], 'key ' || n, '\\x00'
    FROM generate_series(2, {keys}) n
    """,
    """
    INSERT INTO audit_entries (tenant_id, seq, at, actor, action, details, key_id, previous, seal)
    SELECT '{tenant}', h.seq + n, now(), 'operator', 'subject.changed', '{{}}', 'none', sha256(n::text::bytea),
           sha256((n + 1)::text::bytea)
    FROM audit_heads h, generate_series(1, {entries}) n WHERE h.tenant_id = '{tenant}'
    """,
    "UPDATE audit_heads SET seq = seq + {entries} WHERE tenant_id = '{tenant}'",
)


def measure_growth(pack: Path, photos: Sequence[bytes], rounds: int) -> dict[str, Any]:
    """Return the processor milliseconds of a recognition with small and with large tables, and their ratio."""
    people = draw_people()
    with vultus_server(pack, people) as small, vultus_server(pack, people) as large:
        keys = [_create_key(target) for target in (small, large)]
        asyncio.run(_fill(large))
        for target in (small, large):
            settle(target)
        meters, rows = (Meter(small), Meter(large)), []
        for turn in range(rounds + 1):
            chosen = [photos[(turn * REQUESTS + index) % len(photos)] for index in range(REQUESTS)]
            spent = [
                meter.measure([_recognize(target, photo, key) for photo in chosen])[0]
                for meter, target, key in zip(meters, (small, large), keys, strict=True)
            ]
            if turn:
                rows.append([one.loop + one.postgres for one in spent])
            note(f"growth, round {turn} of {rounds}" if turn else "growth, warmed up")
    before, after = (round(float(np.median([row[index] for row in rows])), 3) for index in (0, 1))
    return {
        "tenants": TENANTS,
        "API keys of the tenant": KEYS,
        "audit entries of the tenant": ENTRIES,
        "rounds": rounds,
        "small, loop and PostgreSQL ms": before,
        "large, loop and PostgreSQL ms": after,
        "ratio": round(float(np.median([large / small for small, large in rows])), 3),
    }


def state_growth_goal(growth: dict[str, Any]) -> dict[str, Any]:
    """Compare the measured ratio with its goal."""
    return at_most("recognition beside many tenants, keys and audit entries", MAX_RATIO, growth["ratio"], "ratio")


async def _fill(target: Target) -> None:
    connection = await asyncpg.connect(target.database)
    tenant = await connection.fetchval("SELECT id FROM tenants WHERE name = 'bench'")
    for statement in _FILL:
        await connection.execute(statement.format(tenant=tenant, tenants=TENANTS, keys=KEYS, entries=ENTRIES))
    await connection.execute("VACUUM ANALYZE")  # autovacuum does this within a minute
    await connection.close()


def _create_key(target: Target) -> dict[str, str]:
    url = f"{(target.base + target.path).rpartition('/')[0]}/keys"
    response = httpx.post(url, headers=target.headers, json={"name": "bench", "scopes": ["recognize"]})
    return {"x-api-key": response.raise_for_status().json()["key"]}


def _recognize(target: Target, photo: bytes, key: dict[str, str]) -> bytes:
    form, body = as_form(photo, target.fields)
    return prepare("POST", target.base + target.path, key | form, body)


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Measure a recognition beside many tenants, keys and entries.")
    add_data_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    check_data_arguments(parser, arguments)
    exit_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="vultus-bench-") as directory:
        pack = arguments.pack or write_synthetic_pack(Path(directory))
        growth = measure_growth(pack, make_photos("lfw", arguments.photos), arguments.rounds)
    print(json.dumps(growth | {"goals": [state_growth_goal(growth)]}, indent=1))


if __name__ == "__main__":
    main()
