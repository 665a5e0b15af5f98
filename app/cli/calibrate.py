"""`vultus calibrate`: measure a recognizer's impostor similarities on your own photos."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from app.cli.evaluation_run import Data, Face, Keep, Out, Pack, Run, RunOptions, open_run
from app.cli.settings import command_settings
from app.domain.decisions import Calibration
from app.errors import OperatorError
from app.evaluation.datasets import Person, read_people
from app.matcher.impostors import MIN_PEOPLE, ImpostorRates, measure_impostors
from app.ml.packs.library import PackLibrary
from app.ml.packs.pack import write_calibration


def calibrate(
    data: Data,
    pack: Pack = None,
    face: Face = "central",
    out: Out = Path("calibration"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the calibration; do not write it.")] = False,
    keep: Keep = False,
) -> None:
    """Measure the similarities of impostor pairs and write the calibration to the pack's pack.json.

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
        if is_usable:
            about = {"source": calibration.description, "rates": rows}
            run.finish(out, {"kind": "Calibration", "calibration": about}, [], data, 0)
    if not is_usable:
        if measured.people < MIN_PEOPLE:
            raise OperatorError(f"{data} has photos of {measured.people} people; a calibration needs {MIN_PEOPLE}.")
        raise OperatorError(
            "More than 1 in 100 impostor pairs look like the same person; check that nobody is in two folders."
        )
    for row in rows:
        typer.echo(f"FMR {row['fmr']:g} ({row['low']:.2g} to {row['high']:.2g}) at {row['cosine']:.4f}")
    typer.echo(f"({calibration.description})")
    if not dry_run:
        _write(calibration, pack)


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


def _write(calibration: Calibration, pack: str | None) -> None:
    settings = command_settings()
    library = PackLibrary.from_settings(settings)
    written = write_calibration(library.find(pack or settings.model_pack), calibration)
    typer.echo(f"Calibration written to {written}.")
