"""`vultus calibrate`: measure a recognizer's impostor similarities on your own photos."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from app.cli.evaluation_run import Data, Face, Keep, Out, Pack, Run, RunOptions, open_run
from app.cli.quality_fitting import MIN_FACES, fit_quality
from app.cli.settings import command_settings
from app.domain.decisions import Calibration
from app.errors import OperatorError
from app.evaluation.datasets import Person, read_people
from app.matcher.impostors import MIN_PEOPLE, ImpostorRates, measure_impostors
from app.ml.face_quality.model import QualityModel
from app.ml.packs.library import PackLibrary
from app.ml.packs.pack import write_calibration, write_quality_model


def calibrate(
    data: Data,
    pack: Pack = None,
    face: Face = "central",
    out: Out = Path("calibration"),
    with_quality: Annotated[
        bool, typer.Option("--quality/--no-quality", help="Also fit a quality model, which takes longer.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the calibration; do not write it.")] = False,
    keep: Keep = False,
) -> None:
    """Measure the similarities of impostor pairs and write the calibration to the pack's pack.json.

    Fit a quality model as well, which recognizes faces that are too bad for a match, and write it next to the networks.

    The data directory has one folder per person; nobody may be in two folders. False match rates below the lowest
    measured one are extrapolated.
    """
    people = read_people(data)
    with open_run(out, RunOptions(face=face, pack=pack, keep=keep)) as run:
        measured = _measure(run, people)
        calibration = Calibration(
            measured.points, f"measured on {measured.pairs:,} pairs of {measured.people:,} people", measured.intervals
        )
        rows = _rates(calibration)
        is_usable = len(rows) > 1  # a line needs two points
        quality = fit_quality(run.in_process, people, run.progress) if with_quality and is_usable else None
        if is_usable:
            about = {"source": calibration.description, "rates": rows, "quality": quality.source if quality else None}
            run.finish(out, {"kind": "Calibration", "calibration": about}, [], data, 0)
    if not is_usable:
        raise _unusable(data, measured)
    for row in rows:
        typer.echo(f"FMR {row['fmr']:g} ({row['low']:.2g} to {row['high']:.2g}) at {row['cosine']:.4f}")
    typer.echo(f"({calibration.description})")
    if quality is not None:
        typer.echo(f"Quality model: {quality.source}.")
    elif with_quality:
        typer.echo(f"No quality model: fewer than {MIN_FACES} photos show an acceptable face.")
    if not dry_run:
        _write(calibration, quality, pack)


def _unusable(data: Path, measured: ImpostorRates) -> OperatorError:
    if measured.people < MIN_PEOPLE:
        return OperatorError(f"{data} has photos of {measured.people} people; a calibration needs {MIN_PEOPLE}.")
    return OperatorError(
        "More than 1 in 100 impostor pairs look like the same person; check that nobody is in two folders."
    )


def _measure(run: Run, people: list[Person]) -> ImpostorRates:
    steps = run.progress.steps("Embedding", sum(len(person.photos) for person in people))
    names, embeddings = [], []
    for person in people:
        for photo in person.photos:
            embedding = run.in_process.embed(photo)
            steps.advance()
            if embedding is not None:
                names.append(person.name)
                embeddings.append(embedding)
    return measure_impostors(embeddings, np.unique(names, return_inverse=True)[1].astype(np.int64))


def _rates(calibration: Calibration) -> list[dict[str, Any]]:
    return [
        {"fmr": rate, "low": low, "high": high, "cosine": cosine}
        for (rate, cosine), (low, high) in zip(calibration.points, calibration.intervals, strict=True)
    ]


def _write(calibration: Calibration, quality: QualityModel | None, pack: str | None) -> None:
    settings = command_settings()
    found = PackLibrary.from_settings(settings).find(pack or settings.model_pack)
    typer.echo(f"Calibration written to {write_calibration(found, calibration)}.")
    if quality is not None:
        typer.echo(f"Quality model written to {write_quality_model(found, quality)}.")
