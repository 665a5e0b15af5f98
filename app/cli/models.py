"""`vultus models`: model packs on this machine."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.cli import models_migration
from app.cli.settings import command_settings
from app.domain.decisions import Calibration
from app.ml.packs import SYNTHETIC, ModelPack, PackLibrary
from app.ml.published import PUBLISHED

cli = typer.Typer(help="Find, fetch and verify model packs; go over to another.", no_args_is_help=True)
for command in (models_migration.migrate, models_migration.coverage, models_migration.switch, models_migration.erase):
    cli.command()(command)

PackName = Annotated[
    str | None, typer.Argument(help="A published name, a directory, or `synthetic`; default: the setting.")
]


@cli.command("list")
def list_packs() -> None:
    """Every pack that is published or installed."""
    installed = PackLibrary.of(command_settings()).installed()
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
    library = PackLibrary.of(command_settings())
    pack = library.find(SYNTHETIC) if name == SYNTHETIC else library.install(name)
    _print(pack)


@cli.command()
def verify(
    name: PackName = None,
    accept: Annotated[bool, typer.Option("--accept", help="Trust the files as they are now.")] = False,
) -> None:
    """Check a pack's files against their digests, pinned or recorded at first use."""
    settings = command_settings()
    library = PackLibrary.of(settings)
    wanted = name or settings.model_pack
    if accept:
        library.accept(wanted)
    pack = library.find(wanted, may_download=False)
    typer.echo(f"{pack.name}: verified, digest {pack.digest}")


@cli.command()
def show(name: PackName = None) -> None:
    """What a pack says of itself."""
    _print(PackLibrary.of(command_settings()).find(name or command_settings().model_pack, may_download=False))


def _describe(calibration: Calibration) -> str:
    intervals = [f" ({low:.2g} to {high:.2g})" for low, high in calibration.intervals] or [""] * len(calibration.points)
    return ", ".join(
        f"FMR {rate:g}{interval} at {cosine:.3f}"
        for (rate, cosine), interval in zip(calibration.points, intervals, strict=True)
    )


def _print(pack: ModelPack) -> None:
    for key, value in {
        "name": pack.name,
        "version": pack.version,
        "digest": pack.digest,
        "license": pack.license,
        "embedding size": pack.embedding_size,
        "threshold": f"{pack.threshold} ({pack.threshold_source})",
        "recognizer": pack.recognizer,
        "calibration": f"{_describe(pack.calibration)} ({pack.calibration.account})",
        "detection": f"{pack.detection.path}  sha256 {pack.detection.sha256}",
        "recognition": f"{pack.recognition.path}  sha256 {pack.recognition.sha256}",
        "knows only drawings": "yes" if pack.knows_only_drawings else "no",
    }.items():
        typer.echo(f"{key:<20} {value}")
