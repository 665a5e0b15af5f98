"""`vultus index`: search strategies of collections, their recall, and HNSW graphs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from app.cli.database import announce_database
from app.cli.operator import find_tenant
from app.cli.settings import command_settings
from app.cli.tables import AsJson, Quiet, show_rows
from app.errors import CollectionNotFound
from app.persistence.provisioning.addresses import provisioned_database
from app.persistence.provisioning.logins import check_operator_login, check_service_login
from app.persistence.repositories.graphs import GalleryRecord
from app.services.maintenance.search_indexes import DEFAULT_MEMORY_MB, MIN_RECALL, SearchIndexService
from app.wiring.operator import search_index_service

cli = typer.Typer(help="Show, measure and rebuild how collections are searched.", no_args_is_help=True)

OfTenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant: its id or name.")]
OfCollection = Annotated[str | None, typer.Option("--collection", help="Only collections of this name.")]


@asynccontextmanager
async def search_indexes() -> AsyncIterator[SearchIndexService]:
    """Open the search index service with this process's settings."""
    settings = command_settings()
    await check_service_login(settings)
    await check_operator_login(settings)
    announce_database(settings)
    async with provisioned_database(settings) as addresses, search_index_service(settings, addresses) as indexes:
        yield indexes


@cli.command()
def status(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List every collection and recognizer with templates, strategy and graph, the largest first."""

    async def run() -> list[dict[str, str]]:
        async with search_indexes() as indexes:
            return [
                {
                    **_identify(gallery.record),
                    "templates": str(gallery.record.templates),
                    "strategy": gallery.strategy,
                    "graph": gallery.graph,
                }
                for gallery in await indexes.status()
            ]

    show_rows(asyncio.run(run()), as_json, quiet)


@cli.command()
def verify(
    tenant: OfTenant = None,
    collection: OfCollection = None,
    probes: Annotated[
        int, typer.Option(min=1, max=10_000, help="Stored faces to derive probes from, per collection and recognizer.")
    ] = 50,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of faces.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure recall: search variants of stored faces by every strategy and by the exact one.

    Exits with 1 if a strategy in use has a recall below 0.999 or returns fewer rows. Changes nothing.
    """

    async def run() -> tuple[list[dict[str, str]], bool]:
        async with search_indexes() as indexes:
            records = _chosen(
                [gallery.record for gallery in await indexes.status()], await find_tenant(tenant), collection
            )
            measured = await indexes.verify(records, probes=probes, seed=seed)
        rows = [
            {
                **_identify(record),
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
    show_rows(rows, as_json, quiet)
    if not is_good:
        raise typer.Exit(1)


@cli.command()
def rebuild(
    tenant: OfTenant = None,
    collection: OfCollection = None,
    memory_mb: Annotated[
        int,
        typer.Option(min=64, help="Memory of the database server for building, in MB; larger graphs are built slowly."),
    ] = DEFAULT_MEMORY_MB,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Build HNSW graphs while searches continue, and use those whose recall is high enough.

    Without --tenant and --collection, builds the missing and stale graphs of collections above
    VULTUS_SEARCH_HNSW_FROM. With them, builds graphs for those collections whatever their size. Removes what
    interrupted builds left.
    """

    async def run() -> list[dict[str, str]]:
        async with search_indexes() as indexes:
            if collection is None and tenant is None:
                await indexes.maintain()
                chosen = None
            else:
                records = [gallery.record for gallery in await indexes.status()]
                chosen = {record.id for record in _chosen(records, await find_tenant(tenant), collection)}
                for record in records:
                    if record.id in chosen and record.templates:
                        await indexes.rebuild(record, memory_mb=memory_mb)
            return [
                {
                    **_identify(gallery.record),
                    "templates": str(gallery.record.templates),
                    "graph": gallery.graph,
                }
                for gallery in await indexes.status()
                if gallery.record.graph is not None and (chosen is None or gallery.record.id in chosen)
            ]

    show_rows(asyncio.run(run()), as_json, quiet)


def _chosen(records: list[GalleryRecord], tenant: UUID | None, collection: str | None) -> list[GalleryRecord]:
    chosen = [
        record for record in records if tenant in (None, record.tenant_id) and collection in (None, record.collection)
    ]
    if not chosen and (tenant is not None or collection is not None):
        raise CollectionNotFound("No collection with these names has faces.")
    return chosen


def _identify(record: GalleryRecord) -> dict[str, str]:
    described = asdict(record)
    return {name: str(described[name]) for name in ("tenant", "collection", "recognizer")}
