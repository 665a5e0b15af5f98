"""Measure the search for due webhooks: 10,000 of them, and 100,000 deliveries that wait."""

import asyncio
import time
from typing import Any

import asyncpg

from benchmarks.goals import at_most
from benchmarks.serving import percentile
from benchmarks.webhooks.scene import Scene

TENANTS, PER_TENANT, DELIVERIES = 1000, 10, 100_000
ASKED = 20
MAX_MS = 100.0

_FILL = f"""
WITH made AS (INSERT INTO tenants (id, name) SELECT gen_random_uuid(), 'bench' FROM generate_series(1, {TENANTS})
              RETURNING id),
head AS (INSERT INTO audit_heads (tenant_id, seq, seal, event_seq)
         SELECT id, 0, ''::bytea, {DELIVERIES // TENANTS // PER_TENANT} FROM made),
hooks AS (INSERT INTO webhooks (tenant_id, id, url, key_id, secret_encrypted)
          SELECT made.id, gen_random_uuid(), 'https://bench.example/', 'k', ''::bytea
          FROM made, generate_series(1, {PER_TENANT}) RETURNING tenant_id, id),
happened AS (INSERT INTO events (tenant_id, seq, id, at, type, collection, subject, data)
             SELECT made.id, seq, gen_random_uuid(), now(), 'subject.updated', 'default', 'ada', '{{}}'
             FROM made, generate_series(1, {DELIVERIES // TENANTS // PER_TENANT}) seq RETURNING tenant_id, seq)
INSERT INTO webhook_deliveries (tenant_id, webhook_id, seq, order_key)
SELECT h.tenant_id, h.id, e.seq, 'default/ada' FROM hooks h JOIN happened e ON e.tenant_id = h.tenant_id
"""
_CASES = {
    "all put off": "UPDATE webhook_deliveries SET due_at = now() + interval '1 hour'",
    "all webhooks pause": "UPDATE webhooks SET resume_at = now() + interval '1 hour'",
    "one webhook is due": "UPDATE webhooks SET resume_at = now() WHERE id = (SELECT min(id::text)::uuid FROM webhooks)",
    "all are due": "UPDATE webhooks SET resume_at = now()",
}
_BEFORE = {"all webhooks pause": "UPDATE webhook_deliveries SET due_at = now()"}


def measure(scene: Scene) -> dict[str, Any]:
    """Return milliseconds of the search, by what waits."""
    return asyncio.run(_measure(scene.stage.admin))


async def _measure(url: str) -> dict[str, Any]:
    connection = await asyncpg.connect(url)
    await connection.execute(_FILL)
    found: dict[str, Any] = {}
    for name, statement in _CASES.items():
        if name in _BEFORE:
            await connection.execute(_BEFORE[name])
        await connection.execute(statement)
        await connection.execute("VACUUM ANALYZE webhooks")
        await connection.execute("VACUUM ANALYZE webhook_deliveries")
        took, rows = [], []
        for _ in range(ASKED):
            began_at = time.perf_counter()
            rows = await connection.fetch("SELECT * FROM vultus_due_webhooks()")
            took.append(1000 * (time.perf_counter() - began_at))
        found[name] = {
            "found": len(rows),
            "p50": round(percentile(took, 0.5), 1),
            "p95": round(percentile(took, 0.95), 1),
        }
    await connection.close()
    worst = max(one["p95"] for one in found.values())
    return {
        "webhooks": TENANTS * PER_TENANT,
        "deliveries": DELIVERIES,
        "ms": found,
        "goals": [
            at_most("p95 of the search for due webhooks, which one process makes each second", MAX_MS, worst, "ms")
        ],
    }
