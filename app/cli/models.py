"""`vultus models`: list, install, verify and show model packs."""

from typing import Annotated

import typer

from app.cli import models_migration
from app.cli.settings import command_settings
from app.cli.tables import AsJson, Quiet, show_rows, show_values
from app.domain.decisions import Calibration
from app.ml.packs.library import SYNTHETIC, PackLibrary
from app.ml.packs.pack import ModelPack
from app.ml.published import PUBLISHED

cli = typer.Typer(help="Manage model packs and switch recognizers.", no_args_is_help=True)
for command in (models_migration.migrate, models_migration.coverage, models_migration.switch, models_migration.erase):
    cli.command()(command)

PackName = Annotated[
    str | None, typer.Argument(help="A published pack, a directory, or `synthetic`; by default VULTUS_MODEL_PACK.")
]


@cli.command("list")
def list_packs(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List all published and installed packs."""
    installed = PackLibrary.from_settings(command_settings()).installed()
    rows = [
        _row(name, "yes" if name in installed else "no", f"{pack.download_mb} MB", pack.note)
        for name, pack in PUBLISHED.items()
    ]
    rows += [_row(name, "yes", "", "installed by hand") for name in installed if name not in PUBLISHED]
    rows.append(_row(SYNTHETIC, "built on demand", "", "recognizes only drawn faces; for trying Vultus out"))
    show_rows(rows, as_json, quiet)


@cli.command()
def install(
    name: Annotated[str, typer.Argument(help="Name of a published pack, or `synthetic`.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Download a published pack and verify its files, or build the synthetic one."""
    library = PackLibrary.from_settings(command_settings())
    pack = library.find(SYNTHETIC) if name == SYNTHETIC else library.install(name)
    show_values(_values(pack), as_json, quiet)


@cli.command()
def verify(
    name: PackName = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept the files on disk and record their digests.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Verify a pack's files against their pinned digests, or those recorded at first use."""
    settings = command_settings()
    library = PackLibrary.from_settings(settings)
    name = name or settings.model_pack
    if accept:
        library.accept(name)
    pack = library.find(name, may_download=False)
    if as_json or quiet:
        show_values({"name": pack.name, "digest": pack.digest}, as_json, quiet)
    else:
        typer.echo(f"{pack.name}: verified, digest {pack.digest}")


@cli.command()
def show(name: PackName = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show a pack's license, digest, recognizer, threshold and calibration."""
    settings = command_settings()
    pack = PackLibrary.from_settings(settings).find(name or settings.model_pack, may_download=False)
    show_values(_values(pack), as_json, quiet)


def _row(pack: str, installed: str, download: str, description: str) -> dict[str, str]:
    return {"pack": pack, "installed": installed, "download": download, "description": description}


def _describe(calibration: Calibration) -> str:
    intervals = [f" ({low:.2g} to {high:.2g})" for low, high in calibration.intervals] or [""] * len(calibration.points)
    return ", ".join(
        f"FMR {rate:g}{interval} at {cosine:.3f}"
        for (rate, cosine), interval in zip(calibration.points, intervals, strict=True)
    )


def _values(pack: ModelPack) -> dict[str, str]:
    attributes = pack.attributes
    return {
        "name": pack.name,
        "version": pack.version,
        "digest": pack.digest,
        "license": pack.license,
        "embedding size": str(pack.embedding_size),
        "threshold": f"{pack.threshold} ({pack.threshold_source})",
        "recognizer": pack.recognizer,
        "calibration": f"{_describe(pack.calibration)} ({pack.calibration.description})",
        "detection": f"{pack.detection.path}  sha256 {pack.detection.sha256}",
        "recognition": f"{pack.recognition.path}  sha256 {pack.recognition.sha256}",
        "age and gender": f"{attributes.path}  sha256 {attributes.sha256}" if attributes is not None else "none",
        "knows only drawings": "yes" if pack.knows_only_drawings else "no",
    }
