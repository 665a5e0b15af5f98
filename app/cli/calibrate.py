"""`vultus calibrate`: measure how similar strangers are for a pack's recognizer, on one's own photos."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from app.cli.evaluation_run import Asked, Data, Face, Keep, Out, Pack, running
from app.cli.settings import command_settings
from app.domain.decisions import Calibration
from app.errors import OperatorError
from app.evaluation.datasets import read_people
from app.matcher.strangers import MIN_PEOPLE, measure_strangers
from app.ml.packs import PackLibrary, write_calibration


def calibrate(
    data: Data,
    pack: Pack = None,
    face: Face = "central",
    out: Out = Path("calibration"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print, and write nothing into the pack.")] = False,
    keep: Keep = False,
) -> None:
    """Measure how similar strangers are for a pack's recognizer, and write it into the pack's pack.json.

    The photos: one folder a person, nobody in two folders. What is rarer than was measured will be extrapolated.
    """
    people = read_people(data)
    with running(out, Asked(face=face, pack=pack, keep=keep)) as run:
        steps = run.progress.steps("Embedding", sum(len(person.photos) for person in people))
        names, embeddings = [], []
        for person in people:
            for photo in person.photos:
                embedding = run.here.embed(photo)
                steps.advance()
                if embedding is not None:
                    names.append(person.name)
                    embeddings.append(embedding)
        measured = measure_strangers(embeddings, np.unique(names, return_inverse=True)[1].astype(np.int64))
        source = f"measured on {measured.pairs:,} pairs of {measured.people:,} people"
        found = Calibration(measured.points, source, measured.intervals)
        rows = [
            {"fmr": rate, "low": low, "high": high, "cosine": cosine}
            for (rate, cosine), (low, high) in zip(found.points, found.intervals, strict=True)
        ]
        is_enough = len(rows) > 1  # for a line through them
        if is_enough:
            about = {"source": found.account, "rates": rows}
            run.finish(out, {"kind": "Calibration", "calibration": about}, [], data, 0)
    if not is_enough:
        if measured.people < MIN_PEOPLE:
            raise OperatorError(f"{measured.people} people are too few to calibrate on: {MIN_PEOPLE} are needed.")
        raise OperatorError("More than 1 in 100 pairs of people have the same face: some stand in several folders.")
    for row in rows:
        typer.echo(f"FMR {row['fmr']:g} ({row['low']:.2g} to {row['high']:.2g}) at {row['cosine']:.4f}")
    typer.echo(f"({found.account})")
    if not dry_run:
        settings = command_settings()
        library = PackLibrary.of(settings)
        typer.echo(f"written into {write_calibration(library.find(pack or settings.model_pack), found)}")
