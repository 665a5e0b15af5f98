"""`vultus index`: how each collection is searched, how much a search loses, and the graphs of the large ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from app.cli.settings import command_settings
from app.cli.tables import show_rows
from app.errors import CollectionNotFound
from app.persistence.provisioning.addresses import provisioned_database
from app.persistence.repositories.graphs import GalleryRecord
from app.services.maintenance.search_indexes import DEFAULT_MEMORY_MB, MIN_RECALL, SearchIndexService
from app.wiring.operator import search_index_service

cli = typer.Typer(help="See, measure and rebuild the ways that collections are searched.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
OfTenant = Annotated[UUID | None, typer.Option("--tenant", help="Of this tenant only.")]
OfCollection = Annotated[str | None, typer.Option("--collection", help="The collections of this name only.")]


@asynccontextmanager
async def search_indexes() -> AsyncIterator[SearchIndexService]:
    """The service for the time of a block, by this process's settings."""
    settings = command_settings()
    async with provisioned_database(settings) as addresses, search_index_service(settings, addresses) as indexes:
        yield indexes


@cli.command()
def status(as_json: AsJson = False) -> None:
    """Every collection and recognizer, the largest first: its templates, its strategy, its graph."""

    async def run() -> list[dict[str, str]]:
        async with search_indexes() as indexes:
            return [
                {
                    **_name(one.record),
                    "templates": str(one.record.templates),
                    "strategy": one.strategy,
                    "graph": one.graph,
                }
                for one in await indexes.status()
            ]

    show_rows(asyncio.run(run()), as_json)


@cli.command()
def verify(
    tenant: OfTenant = None,
    collection: OfCollection = None,
    probes: Annotated[int, typer.Option(min=1, max=10_000, help="Stored faces to make probes of, each.")] = 50,
    seed: Annotated[int, typer.Option(help="Another seed takes other faces.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Search for mates of stored faces by every strategy and exactly, and print how much each returns.

    Exits with 1 if a strategy in use returns less than 0.999 of the matches or fewer rows. Reads only.
    """

    async def run() -> tuple[list[dict[str, str]], bool]:
        async with search_indexes() as indexes:
            records = _chosen([one.record for one in await indexes.status()], tenant, collection)
            measured = await indexes.verify(records, probes=probes, seed=seed)
        rows = [
            {
                **_name(record),
                "templates": str(record.templates),
                "strategy": recall.strategy.value,
                "recall": f"{recall.value:.4f}",
                "matches": f"{recall.matches_returned} of {recall.matches}",
                "rows": f"{recall.rows_returned} of {recall.rows}",
            }
            for record, recall in measured
        ]
        return rows, all(recall.is_good(MIN_RECALL) for _, recall in measured)

    rows, is_good = asyncio.run(run())
    show_rows(rows, as_json)
    if not is_good:
        raise typer.Exit(1)


@cli.command()
def rebuild(
    tenant: OfTenant = None,
    collection: OfCollection = None,
    memory_mb: Annotated[
        int, typer.Option(min=64, help="Of the database server, for building; what does not fit is slow.")
    ] = DEFAULT_MEMORY_MB,
    as_json: AsJson = False,
) -> None:
    """Build HNSW graphs beside running searches, measure them, and put those to use that lose nothing.

    Without --collection: what `VULTUS_SEARCH_HNSW_FROM` asks for and is missing or stale; with it: those collections,
    whatever their size. Leftovers of interrupted buildings are removed.
    """

    async def run() -> list[dict[str, str]]:
        async with search_indexes() as indexes:
            if collection is None and tenant is None:
                await indexes.maintain()
                chosen = None
            else:
                records = [one.record for one in await indexes.status()]
                chosen = {record.id for record in _chosen(records, tenant, collection)}
                for record in records:
                    if record.id in chosen and record.templates:
                        await indexes.rebuild(record, memory_mb=memory_mb)
            return [
                {**_name(one.record), "templates": str(one.record.templates), "graph": one.graph}
                for one in await indexes.status()
                if one.record.graph is not None and (chosen is None or one.record.id in chosen)
            ]

    show_rows(asyncio.run(run()), as_json)


def _chosen(records: list[GalleryRecord], tenant: UUID | None, collection: str | None) -> list[GalleryRecord]:
    chosen = [
        record for record in records if tenant in (None, record.tenant_id) and collection in (None, record.collection)
    ]
    if not chosen and (tenant is not None or collection is not None):
        raise CollectionNotFound("There is no such collection with faces in it.")
    return chosen


def _name(record: GalleryRecord) -> dict[str, str]:
    described = asdict(record)
    return {name: str(described[name]) for name in ("tenant", "collection", "recognizer")}
