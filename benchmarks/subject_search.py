"""Measure the filters of `GET .../subjects` against a plain page, and check that no table is read as a whole.

    python -m benchmarks.subject_search [--subjects N] [--rounds N] [--out [FILE]]

One collection has N subjects. A second collection of the same tenant and ten other tenants have as many again, with
the same names and metadata. Each round lists the first and a later plain page and, for each filter, a first and a
later page, with other values in each round. Everything runs through the service's login, under row-level security. A
page has 50 subjects.

- Selective filters match at most 1% of the collection. Their goal is a p95 of at most 5 times that of the plain page.
- The other filters match more. They are measured without a goal.
- EXPLAIN of each statement must show no sequential scan of subjects, their terms or templates.
- Cost: what the search adds to the storage of one subject and to the time of creating one.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import event

from app.permissions import Permission, Plan, Principal
from app.persistence.connections.database import Database
from app.persistence.connections.snapshots import use_binary_embeddings
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.tenants import TenantDirectory
from app.security.cursors import CursorSigner
from app.security.keyring import Keyring
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.paging import Page, PageRequest
from app.services.people.subject_listing import SubjectListing, SubjectQuery
from benchmarks.face_embeddings import FaceLike
from benchmarks.galleries import fill as fill_gallery
from benchmarks.goals import at_most
from benchmarks.machine import describe_run
from benchmarks.serving import percentile

RESULT = Path(__file__).parent / "results" / "subject_search.json"
KEYRING = Keyring([b"a secret of the benchmark, 32 bytes or more"])
PAGE = 50
MAX_RATIO = 5.0
TABLES = {"subjects", "subject_terms", "templates"}
OTHER_TENANTS, TEMPLATES = 10, 5_000
SYLLABLES = ["ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zü", "ché"]
"""Names of 200 first and 500 last names, 10 sites, 400 teams, and 100 new subjects a day."""
FILL = """
INSERT INTO subjects (tenant_id, id, collection_id, subject, name, metadata, created_at)
SELECT $1, gen_random_uuid(), $2, 'emp-' || i * 7 % 999983,
       ($4::text[])[1 + i % 200] || ' ' || ($5::text[])[1 + (i * 31) % 500],
       jsonb_build_object('site', 'site ' || i % 10, 'team', (i * 17) % 400, 'badge', 'b' || i),
       timestamptz '2020-01-01 00:00Z' + i / 100 * interval '1 day' + i % 100 * interval '1 minute'
FROM generate_series(1, $3) AS i
"""


@dataclass(frozen=True)
class Filter:
    """A filter: whether it is selective, and its query in a round."""

    is_selective: bool
    make: Callable[[Random], SubjectQuery]


def _names(rng: Random, count: int, syllables: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(rng.choices(SYLLABLES, k=syllables)).capitalize()] = None
    return list(names)


def build_filters(size: int, first: list[str], last: list[str]) -> dict[str, Filter]:
    """Return the filters by what they look for."""
    days = size // 100

    def day(rng: Random, length: int) -> SubjectQuery:
        begin = 1577836800 + rng.randrange(max(1, days - length)) * 86400
        moments = [_moment(begin), _moment(begin + length * 86400)]
        return SubjectQuery(created_after=moments[0], created_before=moments[1])

    def metadata(**values: object) -> SubjectQuery:
        return SubjectQuery(metadata={key: str(value) for key, value in values.items()})

    def person(rng: Random) -> SubjectQuery:
        index = rng.randrange(1, size)
        return SubjectQuery(text=f"{first[index % 200][:4]} {last[index * 31 % 500]}")

    def word_and_site(rng: Random) -> SubjectQuery:
        return SubjectQuery(text=rng.choice(last), metadata={"site": f"site {rng.randrange(10)}"})

    return {
        "last name": Filter(True, lambda rng: SubjectQuery(text=rng.choice(last))),
        "beginning of a last name": Filter(True, lambda rng: SubjectQuery(text=rng.choice(last)[:-1])),
        "beginnings of a first name and a last name": Filter(True, person),
        "part of an id": Filter(
            True, lambda rng: SubjectQuery(text=f"emp {rng.randrange(size // 2, size) * 7 % 999983}")
        ),
        "metadata, one subject": Filter(True, lambda rng: metadata(badge=f"b{rng.randrange(1, size)}")),
        "metadata, 0.25%": Filter(True, lambda rng: metadata(team=rng.randrange(400))),
        "metadata, two values": Filter(True, lambda rng: metadata(team=rng.randrange(400), site=_site(rng))),
        "created within two days": Filter(True, lambda rng: day(rng, 2)),
        "last name and metadata": Filter(True, word_and_site),
        "metadata, 10%": Filter(False, lambda rng: metadata(site=_site(rng))),
        "one letter": Filter(False, lambda rng: SubjectQuery(text=rng.choice("abde"))),
        "beginning of every id": Filter(False, lambda rng: SubjectQuery(text="emp")),
        "created in half of the time": Filter(False, lambda rng: day(rng, days // 2)),
        "one letter and metadata, 10%": Filter(
            False, lambda rng: SubjectQuery(text=rng.choice("abde"), metadata={"site": _site(rng)})
        ),
    }


def _site(rng: Random) -> str:
    return f"site {rng.randrange(10)}"


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def fill(owner: str, service: Database, size: int, first: list[str], last: list[str]) -> tuple[UUID, UUID]:
    """Fill the tenants, and return the measured tenant and its collection `default`."""
    connection = await asyncpg.connect(owner)
    measured: tuple[UUID, UUID] | None = None
    for index in range(OTHER_TENANTS + 1):
        tenant_id = UUID(int=index + 1)
        async with service.transaction(tenant_id) as session:
            await TenantDirectory(session).add(tenant_id, f"tenant {index}")
            collections = CollectionRepository(session, tenant_id)
            ids = {}
            for name in ("default", "second") if index == 0 else ("default",):
                await collections.add(name)
                row = await collections.find_row(name)
                assert row is not None
                ids[name] = row.id
        for name, collection_id in ids.items():
            rows = size if (index, name) == (0, "default") else size // (OTHER_TENANTS + 1)
            await connection.execute(FILL, tenant_id, collection_id, rows, first, last)
        measured = measured or (tenant_id, ids["default"])
    # Pages count each subject's templates: a table that is nearly empty would always be read as a whole.
    await use_binary_embeddings(connection)
    await fill_gallery(connection, UUID(int=1), "faces", FaceLike(3).draw(TEMPLATES), lambda _: None)
    await connection.execute("VACUUM ANALYZE")  # autovacuum does this within a minute
    await connection.close()
    assert measured is not None
    return measured


class Lister:
    """Lists pages as the route does, each in a transaction of its own."""

    def __init__(self, service: Database, tenant_id: UUID) -> None:
        self._service = service
        self._tenant_id = tenant_id
        self._cursors = CursorSigner(KEYRING)
        self._principal = Principal(tenant_id, frozenset(Permission), Plan("bench", {}))
        self.scans: set[str] = set()

    async def time(self, query: SubjectQuery, cursor: str | None) -> tuple[float, Page[Any]]:
        """Return the milliseconds of a page, and the page."""
        started = time.perf_counter()
        page = await self._listing().list("default", PageRequest(PAGE, cursor), query)
        return (time.perf_counter() - started) * 1e3, page

    async def explain(self, query: SubjectQuery, cursor: str | None) -> set[str]:
        """Return the tables that any statement of the page reads as a whole."""
        statements: list[tuple[str, Any]] = []

        def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
            statements.append((statement, parameters))

        engine = self._service.engine.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        await self._listing().list("default", PageRequest(PAGE, cursor), query)
        event.remove(engine, "before_cursor_execute", note)
        async with self._service.transaction(self._tenant_id) as session:
            connection = await session.connection()
            scanned = set[str]()
            for statement, parameters in statements:
                plan = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
                scanned |= set(_sequential_scans(plan.scalar_one()[0]["Plan"]))
        return scanned & TABLES

    def _listing(self) -> SubjectListing:
        galleries = GalleryLookup(self._service, self._principal, RecognizerDirectory({"bench": "bench"}))
        return SubjectListing(self._service, self._principal, galleries, self._cursors)


def _sequential_scans(plan: dict[str, Any]) -> list[str]:
    own = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    return own + [name for part in plan.get("Plans", ()) for name in _sequential_scans(part)]


async def measure(lister: Lister, filters: dict[str, Filter], rounds: int) -> dict[str, Any]:
    """Time the plain page and all filters in turns."""
    rng = Random(1)
    times: dict[tuple[str, str], list[float]] = {}
    found: dict[str, list[int]] = {}
    plain = Filter(True, lambda _: SubjectQuery())
    for index in range(rounds + 3):
        for name, one in {"plain": plain, **filters}.items():
            query = one.make(rng)
            took, page = await lister.time(query, None)
            if index < 3:  # not counted: caches fill
                lister.scans |= await lister.explain(query, None)
                lister.scans |= await lister.explain(query, page.next_cursor)
                continue
            times.setdefault((name, "first"), []).append(took)
            found.setdefault(name, []).append(len(page.items))
            if page.next_cursor is not None:
                took, _ = await lister.time(query, page.next_cursor)
                times.setdefault((name, "later"), []).append(took)
    base = {share: percentile(times["plain", "first"], share) for share in (0.5, 0.95)}
    return {
        name: {
            "subjects_on_first_page": round(sum(counts) / len(counts), 1),
            **{
                page: _summarize(times[name, page], base)
                for page in ("first", "later")
                if len(times.get((name, page), ())) >= rounds // 2
            },
        }
        for name, counts in found.items()
    }


def _summarize(values: list[float], base: dict[float, float]) -> dict[str, float]:
    p50, p95 = percentile(values, 0.5), percentile(values, 0.95)
    return {
        "p50_ms": round(p50, 2),
        "p95_ms": round(p95, 2),
        "p50_ratio": round(p50 / base[0.5], 2),
        "p95_ratio": round(p95 / base[0.95], 2),
    }


async def measure_cost(owner: str, tenant_id: UUID) -> dict[str, float]:
    """Return what the terms add to one subject: bytes, rows, and milliseconds of its creation."""
    connection = await asyncpg.connect(owner)
    size, rows, subjects = await connection.fetchrow(
        "SELECT pg_total_relation_size('subject_terms'), (SELECT count(*) FROM subject_terms), "
        "(SELECT count(*) FROM subjects)"
    )
    collection_id = await connection.fetchval("SELECT id FROM collections WHERE name = 'second'")
    created: dict[str, list[float]] = {"ENABLE": [], "DISABLE": []}
    for index in range(400):
        for state, values in created.items():
            await connection.execute(f"ALTER TABLE subjects {state} TRIGGER index_new_subject")
            started = time.perf_counter()
            await connection.execute(
                "INSERT INTO subjects (tenant_id, id, collection_id, subject, name, metadata) "
                'VALUES ($1, gen_random_uuid(), $2, $3, \'Ada Acker-Lovelace\', \'{"site": "x", "team": 7}\')',
                tenant_id,
                collection_id,
                f"new-{state}-{index}",
            )
            values.append((time.perf_counter() - started) * 1e3)
    await connection.execute("ALTER TABLE subjects ENABLE TRIGGER index_new_subject")
    await connection.close()
    return {
        "term_bytes_per_subject": round(size / subjects),
        "terms_per_subject": round(rows / subjects, 1),
        "create_ms_p50_with_terms": round(percentile(created["ENABLE"], 0.5), 2),
        "create_ms_p50_without_terms": round(percentile(created["DISABLE"], 0.5), 2),
    }


async def run(owner: str, address: str, size: int, rounds: int) -> dict[str, Any]:
    """Fill the database, measure, and state the goals."""
    rng = Random(7)
    first, last = _names(rng, 200, 3), _names(rng, 500, 4)
    service = Database(address)
    started = time.perf_counter()
    tenant_id, _ = await fill(owner, service, size, first, last)
    filled_s = time.perf_counter() - started
    lister, filters = Lister(service, tenant_id), build_filters(size, first, last)
    measured = await measure(lister, filters, rounds)
    await service.close()
    goals = [
        at_most(f"{name}, {page} page: p95 relative to the plain first page", MAX_RATIO, figures["p95_ratio"], "times")
        for name, one in measured.items()
        if name in filters and filters[name].is_selective
        for page, figures in one.items()
        if isinstance(figures, dict)
    ]
    return {
        "fill_s": round(filled_s, 1),
        "pages": measured,
        "cost": await measure_cost(owner, tenant_id),
        "goals": [*goals, at_most("tables read as a whole", 0, len(lister.scans), "tables")],
        "sequential_scans": sorted(lister.scans),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "what": "pages of 50 subjects of one collection, milliseconds, one at a time",
        **describe_run(),
        "subjects": arguments.subjects,
        "rounds": arguments.rounds,
    }
    temporary = tempfile.TemporaryDirectory(prefix="vultus-bench-", ignore_cleanup_errors=True)
    with temporary as directory:
        postgres = EmbeddedPostgres(Path(directory), settings={"shared_buffers": "1GB", "max_wal_size": "8GB"})
        postgres.start()
        try:
            owner = asyncio.run(postgres.ensure_database())
            migrate(owner)
            address = asyncio.run(postgres.ensure_service_login())
            result |= asyncio.run(run(owner, address, arguments.subjects, arguments.rounds))
        finally:
            postgres.stop()
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    if not all(goal["held"] for goal in result["goals"]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
