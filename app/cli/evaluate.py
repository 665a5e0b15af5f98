"""`vultus eval`: measure accuracy on your own photos."""

import math
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.evaluate_quality import quality
from app.cli.evaluation_run import (
    Data,
    Face,
    Keep,
    Out,
    Pack,
    Pictures,
    Region,
    Rekognition,
    Run,
    RunOptions,
    Seed,
    StartOver,
    Url,
    format_rate,
    open_run,
)
from app.cli.tables import AsJson, Quiet, show_rows
from app.errors import OperatorError
from app.evaluation.datasets import Pair, Person, read_event, read_groups, read_pairs, read_people
from app.evaluation.event import evaluate_event
from app.evaluation.groups import groups_of
from app.evaluation.identification import GalleryPlan, evaluate_galleries, plan_galleries
from app.evaluation.report import write_report
from app.evaluation.verification import accuracy_gain, compare_pairs, evaluate_all_pairs, evaluate_pairs, require_pairs

cli = typer.Typer(help="Measure accuracy on your own photos.", no_args_is_help=True)
cli.command()(quality)

_THREADS = 4
_REPEATS_IN_PROCESS = 3

PairsFile = Annotated[Path, typer.Option(exists=True, dir_okay=False, help="File with pairs in LFW's format.")]
Galleries = Annotated[str, typer.Option(help="Gallery sizes in people, separated by commas.")]
Searches = Annotated[
    int, typer.Option(min=1, help="Maximum searches of enrolled people, and of other people, per repeat.")
]
Repeats = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="Random draws per gallery size. Default: 1 for a server; in process 3 to 30, until everybody has been "
        "left out once.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Minimum similarity of a match: a cosine, or a percentage with --rekognition. Default: the system's own; "
        "in process FPIR 1e-3, for Rekognition 80."
    ),
]


@cli.command()
def verify(
    data: Data,
    pairs: PairsFile,
    out: Out = Path("eval-verify"),
    url: Url = None,
    rekognition: Rekognition = None,
    region: Region = "us-east-1",
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Also compare every photo with every other (in process only).")
    ] = False,
    groups: Annotated[
        Path | None, typer.Option(exists=True, help="CSV file person,group: also report rates by group.")
    ] = None,
    face: Face = "central",
    pack: Pack = None,
    seed: Seed = 1,
    keep: Keep = False,
    start_over: StartOver = False,
    pictures: Pictures = False,
) -> None:
    """Measure 1:1 verification: accuracy over folds and TAR at fixed FAR, with confidence intervals."""
    listed, group_of = read_pairs(data, pairs), read_groups(groups) if groups else {}
    options = RunOptions(url, rekognition, region, face, pack, keep, start_over)
    require_pairs(listed)
    if groups:
        groups_of(listed, group_of)
    if all_pairs and not options.is_in_process:
        raise OperatorError("--all-pairs can only be measured in process; remove --url and --rekognition.")
    with open_run(out, options) as run:
        steps = run.progress.steps("Comparing", len(listed))
        similarities = compare_pairs(run.system, listed, _THREADS, steps.advance)
        found, failures = evaluate_pairs(listed, similarities, group_of, seed=seed)
        result: dict[str, Any] = {"kind": "Verification", "verification": found}
        if all_pairs:
            result["all_pairs"] = _all_pairs(run, listed, seed)
        run.finish(out, result, failures, data, seed, with_pictures=pictures)
    typer.echo(f"accuracy {format_rate(found['accuracy'])}; {found['pairs_without_a_face']} pairs without a face")
    for row in found["tar_at_far"]:
        typer.echo(f"TAR at FAR {row['far']:g}: {format_rate(row['tar'])}")


@cli.command()
def identify(
    data: Data,
    out: Out = Path("eval-identify"),
    url: Url = None,
    rekognition: Rekognition = None,
    region: Region = "us-east-1",
    galleries: Galleries = "100,500,1000",
    searches: Searches = 1000,
    repeats: Repeats = None,
    face: Face = "central",
    pack: Pack = None,
    seed: Seed = 1,
    keep: Keep = False,
    start_over: StartOver = False,
    pictures: Pictures = False,
) -> None:
    """Measure 1:N identification: rank-1, FNIR at fixed FPIR, and stated against observed false match rates.

    The data directory has one folder per person.
    """
    options = RunOptions(url, rekognition, region, face, pack, keep, start_over)
    plans = _plan(data, read_people(data), _read_sizes(galleries), options, searches, repeats, seed)
    with open_run(out, options) as run:
        steps = run.progress.steps("Enrolling and searching", sum(plan.steps for plan in plans))
        calibration = run.in_process.calibration if options.is_in_process else None
        rows, failures = evaluate_galleries(run.system, plans, calibration, steps.advance, seed=seed)
        result = {"kind": "Identification", "galleries": rows}
        run.finish(out, result, failures, data, seed, with_pictures=pictures)
    for row in rows:
        fnir = [f"FNIR at FPIR {point['fpir']:g}: {format_rate(point['fnir'])}" for point in row["fnir_at_fpir"]]
        rates = [f"rank-1 {1 - row['rank_1_missed']['value']:.4f}", *fnir]
        typer.echo(f"gallery {row['gallery']}: {', '.join(rates)}")


@cli.command()
def event(
    data: Data,
    manifest: Annotated[Path, typer.Option(exists=True, help="CSV file kind,photo,people: photos and selfies.")],
    out: Out = Path("eval-event"),
    url: Url = None,
    rekognition: Rekognition = None,
    region: Region = "us-east-1",
    album: Annotated[
        bool, typer.Option("--album", help="With --url: upload the photos to an album, and search that.")
    ] = False,
    threshold: Threshold = None,
    pack: Pack = None,
    seed: Seed = 1,
    keep: Keep = False,
    start_over: StartOver = False,
    pictures: Pictures = False,
) -> None:
    """Measure how well selfies find a person's photos of an event: precision, recall, ranks and false positives."""
    if threshold is not None and not math.isfinite(threshold):
        raise OperatorError(f"--threshold {threshold}: use a finite number.")
    found = read_event(data, manifest)
    with open_run(out, RunOptions(url, rekognition, region, "largest", pack, keep, start_over, album)) as run:
        steps = run.progress.steps("Indexing and searching", len(found.photos) + len(found.selfies))
        table, failures = evaluate_event(run.system, found, threshold, steps.advance, seed=seed)
        run.finish(out, {"kind": "Event", "event": table}, failures, data, seed, with_pictures=pictures)
    for name, value in table.items():
        shown = format_rate(value) if isinstance(value, dict) else f"{value:.4g}" if isinstance(value, float) else value
        typer.echo(f"{name:<26} {shown}")


@cli.command()
def compare(
    packs: Annotated[list[str], typer.Argument(help="Two or more model packs.")],
    data: Data,
    pairs: PairsFile,
    out: Out = Path("eval-compare"),
    face: Face = "central",
    seed: Seed = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare the accuracy and speed of model packs on the same photos."""
    if len(packs) < 2:
        raise OperatorError(f"Name two or more packs to compare; only {packs[0]!r} was given.")
    listed = read_pairs(data, pairs)
    require_pairs(listed)
    comparison = _Comparison(listed, out, face, seed)
    for name in packs:
        comparison.add(name)
    about = {**comparison.digests, "data": data.name, "seed": seed}
    result = {"kind": "Comparison", "about": about, "packs": comparison.rows}
    text, page = write_report(out, result, with_pictures=False)
    typer.echo(f"Report written to {text} and {page}.", err=as_json or quiet)
    show_rows([_comparison_row(row) for row in comparison.rows], as_json, quiet)


@dataclass(slots=True)
class _Comparison:
    """Measures packs one after the other; gains in accuracy are relative to the first."""

    pairs: list[Pair]
    out: Path
    face: str
    seed: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    digests: dict[str, Any] = field(default_factory=dict)
    first_similarities: Any = None

    def add(self, pack: str) -> None:
        short = f"{len(self.rows) + 1} {Path(pack).name}"
        directory = self.out / short
        with open_run(directory, RunOptions(face=self.face, pack=pack)) as run:
            steps = run.progress.steps(short, len(self.pairs))
            # One thread: threads that share the cores would distort the time per photo.
            similarities = compare_pairs(run.system, self.pairs, 1, steps.advance)
            self.digests[short] = run.system.describe()["digest"]
            ms_a_photo = 1000 * run.in_process.seconds_per_photo
        with suppress(OSError):
            directory.rmdir()  # empty after the run
        found, _ = evaluate_pairs(self.pairs, similarities, {}, seed=self.seed)
        gain = None
        if self.rows:
            gain = accuracy_gain(self.pairs, self.first_similarities, similarities, seed=self.seed).as_json()
        else:
            self.first_similarities = similarities
        self.rows.append(
            {
                "pack": pack,
                "accuracy": found["accuracy"],
                "gain": gain,
                "ms_a_photo": ms_a_photo,
                "tar_at_far": {f"{row['far']:g}": row["tar"] for row in found["tar_at_far"]},
                "pairs_without_a_face": found["pairs_without_a_face"],
            }
        )


def _comparison_row(row: dict[str, Any]) -> dict[str, str]:
    return {
        "pack": Path(row["pack"]).name,
        "accuracy": format_rate(row["accuracy"]),
        "gain over the first": format_rate(row["gain"]) if row["gain"] else "",
        **{f"TAR at FAR {far}": format_rate(tar) for far, tar in row["tar_at_far"].items()},
        "ms per photo": f"{row['ms_a_photo']:.1f}",
        "pairs without a face": str(row["pairs_without_a_face"]),
    }


def _read_sizes(text: str) -> list[int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise OperatorError(f"--galleries {text}: use positive numbers separated by commas, such as 100,500.")
    return sizes


def _plan(
    data: Path,
    people: list[Person],
    sizes: list[int],
    options: RunOptions,
    searches: int,
    repeats: int | None,
    seed: int,
) -> list[GalleryPlan]:
    if max(sizes) >= len(people):
        raise OperatorError(
            f"{data} has {len(people)} people; a gallery of {max(sizes)} needs at least {max(sizes) + 1}, since "
            "somebody must be searched who is not enrolled."
        )
    return plan_galleries(
        people,
        sizes,
        seed=seed,
        searches=searches,
        is_cheap=options.is_in_process and repeats is None,
        repeats=repeats or (_REPEATS_IN_PROCESS if options.is_in_process else 1),
    )


def _all_pairs(run: Run, listed: list[Pair], seed: int) -> dict[str, Any]:
    photos = {
        photo: name
        for pair in listed
        for photo, name in ((pair.first, pair.first_person), (pair.second, pair.second_person))
    }
    steps = run.progress.steps("Every pair", len(photos))
    return evaluate_all_pairs(run.in_process, photos, run.in_process.calibration, steps.advance, seed=seed)
