"""`vultus models`: model packs on this machine."""

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app.cli.operator import command_keyring, operator_database
from app.cli.photo_manifest import read_subject_photos
from app.cli.settings import command_settings
from app.cli.tables import show_rows
from app.domain import Calibration
from app.ml.packs import SYNTHETIC, ModelPack, PackLibrary
from app.ml.published import PUBLISHED
from app.persistence.repositories.collections import CollectionRepository
from app.services.collections import require_collection
from app.services.model_migration import MigrationReport, ModelMigration

cli = typer.Typer(help="Find, fetch and verify model packs.", no_args_is_help=True)

PackName = Annotated[
    str | None, typer.Argument(help="A published name, a directory, or `synthetic`; default: the setting.")
]


@cli.command("list")
def list_packs() -> None:
    """Every pack that is published or installed."""
    installed = _library().installed()
    table = Table("pack", "installed", "download", "what it is")
    for name, pack in PUBLISHED.items():
        table.add_row(name, "yes" if name in installed else "no", f"{pack.download_mb} MB", pack.note)
    for name in installed:
        if name not in PUBLISHED:
            table.add_row(name, "yes", "", "put here by hand")
    table.add_row(SYNTHETIC, "made on demand", "", "knows only drawn faces; for trying things out")
    Console().print(table)


@cli.command()
def install(name: Annotated[str, typer.Argument(help="A published pack's name, or `synthetic`.")]) -> None:
    """Download a published pack and verify its files, or make the synthetic one."""
    library = _library()
    pack = library.find(SYNTHETIC) if name == SYNTHETIC else library.install(name)
    _print(pack)


@cli.command()
def verify(
    name: PackName = None,
    accept: Annotated[bool, typer.Option("--accept", help="Trust the files as they are now.")] = False,
) -> None:
    """Check a pack's files against their digests, pinned or recorded at first use."""
    settings, library = command_settings(), _library()
    wanted = name or settings.model_pack
    if accept:
        library.accept(wanted)
    pack = library.find(wanted, may_download=False)
    typer.echo(f"{pack.name}: verified, digest {pack.digest}")


@cli.command()
def show(name: PackName = None) -> None:
    """What a pack says of itself."""
    _print(_library().find(name or command_settings().model_pack, may_download=False))


@cli.command()
def migrate(
    to: Annotated[str, typer.Option("--to", help="The pack whose recogniser the faces are stored with.")],
    tenant: Annotated[UUID, typer.Option(help="The tenant's id.")],
    photos: Annotated[Path, typer.Option(exists=True, help="A folder a subject, or a CSV with photo,subject.")],
    collection: Annotated[str, typer.Option()] = "default",
    threads: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 2,
) -> None:
    """Store a collection's faces with another recogniser, beside those in use, from photos of its subjects.

    Nothing changes for searches meanwhile. When `vultus models coverage` says that everybody is there, start the server
    with the other pack (VULTUS_MODEL_PACK); start it with the old one to go back. Can be run again: a photo that was
    stored is not stored twice. Exits with 1 if a photo gave no face.
    """
    listed = read_subject_photos(photos)
    keyring = command_keyring()

    async def run() -> MigrationReport:
        from app.main import build_analyzer  # noqa: PLC0415 - it brings the inference libraries; see serve.py

        analyzer = build_analyzer(command_settings().model_copy(update={"model_pack": to}))
        async with operator_database() as database:
            with Progress() as progress:
                task = progress.add_task("Storing", total=len(listed))
                return await ModelMigration(database, keyring, analyzer).run(
                    tenant, collection, listed, threads=threads, advance=lambda: progress.advance(task)
                )

    report = asyncio.run(run())
    typer.echo(f"{report.stored} stored, {report.known} there already, {len(report.failures)} without a face to store.")
    for photo, why in report.failures:
        typer.echo(f"  {photo}: {why}", err=True)
    if report.failures:
        raise typer.Exit(1)


@cli.command()
def coverage(
    tenant: Annotated[UUID, typer.Option(help="The tenant's id.")],
    collection: Annotated[str, typer.Option()] = "default",
) -> None:
    """How many faces, and of how many subjects, a collection has of each recogniser."""

    async def run() -> list[dict[str, str]]:
        async with operator_database() as database, database.transaction(tenant) as session:
            collections = CollectionRepository(session, tenant)
            collection_id = await require_collection(collections, collection)
            counted = await collections.count_by_recognizer(collection_id)
        return [
            {"recognizer": name, "faces": str(faces), "subjects": str(people)}
            for name, (faces, people) in sorted(counted.items())
        ]

    show_rows(asyncio.run(run()), as_json=False)


def _library() -> PackLibrary:
    settings = command_settings()
    return PackLibrary(cache=settings.model_cache, data_dir=settings.resolved_data_dir)


def _describe(calibration: Calibration) -> str:
    return ", ".join(f"FMR {rate:g} at {cosine:.3f}" for rate, cosine in calibration.points)


def _print(pack: ModelPack) -> None:
    for key, value in {
        "name": pack.name,
        "version": pack.version,
        "digest": pack.digest,
        "licence": pack.licence,
        "embedding size": pack.embedding_size,
        "threshold": f"{pack.threshold} ({pack.threshold_source})",
        "recogniser": pack.recognizer,
        "calibration": f"{_describe(pack.calibration)} ({pack.calibration.source})",
        "detection": f"{pack.detection.path}  sha256 {pack.detection.sha256}",
        "recognition": f"{pack.recognition.path}  sha256 {pack.recognition.sha256}",
        "knows only drawings": "yes" if pack.knows_only_drawings else "no",
    }.items():
        typer.echo(f"{key:<20} {value}")
