"""`vultus eval`: how right it is, on one's own photos."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.evaluation_run import (
    Asked,
    Data,
    Face,
    Keep,
    Out,
    Pack,
    Pictures,
    Region,
    Rekognition,
    Run,
    Seed,
    StartOver,
    Url,
    running,
    show_rate,
)
from app.cli.tables import show_rows
from app.errors import OperatorError
from app.evaluation.datasets import Pair, read_event, read_groups, read_pairs, read_people
from app.evaluation.event import evaluate_event
from app.evaluation.groups import groups_of
from app.evaluation.identification import evaluate_galleries, plan_galleries
from app.evaluation.report import write_report
from app.evaluation.verification import accuracy_gain, compare_pairs, evaluate_all_pairs, evaluate_pairs, require_pairs

cli = typer.Typer(help="Measure how right it is, on your own photos.", no_args_is_help=True)

_THREADS = 4
_REPEATS_IN_PROCESS = 3

PairsFile = Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Pairs in LFW's format.")]


@cli.command()
def verify(
    data: Data,
    pairs: PairsFile,
    out: Out = Path("eval-verify"),
    url: Url = None,
    rekognition: Rekognition = None,
    region: Region = "us-east-1",
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Also every pair of these photos (in process).")
    ] = False,
    groups: Annotated[Path | None, typer.Option(exists=True, help="CSV person,group: rates by group.")] = None,
    face: Face = "central",
    pack: Pack = None,
    seed: Seed = 1,
    keep: Keep = False,
    start_over: StartOver = False,
    pictures: Pictures = False,
) -> None:
    """Is it the same person: accuracy over folds, true accept rates at fixed false accept rates, with intervals."""
    listed, group_of = read_pairs(data, pairs), read_groups(groups) if groups else {}
    asked = Asked(url, rekognition, region, face, pack, keep, start_over)
    require_pairs(listed)
    if groups:
        groups_of(listed, group_of)
    if all_pairs and not asked.is_in_process:
        raise OperatorError("--all-pairs can be measured in process only: leave out --url and --rekognition.")
    with running(out, asked) as run:
        steps = run.progress.steps("Comparing", len(listed))
        similarities = compare_pairs(run.system, listed, _THREADS, steps.advance)
        found, failures = evaluate_pairs(listed, similarities, group_of, seed=seed)
        result: dict[str, Any] = {"kind": "Verification", "verification": found}
        if all_pairs:
            result["all_pairs"] = _all_pairs(run, listed, seed)
        run.finish(out, result, failures, data, seed, with_pictures=pictures)
    typer.echo(f"accuracy {show_rate(found['accuracy'])}; {found['pairs_without_a_face']} pairs without a face")
    for row in found["tar_at_far"]:
        typer.echo(f"TAR at FAR {row['far']:g}: {show_rate(row['tar'])}")


@cli.command()
def identify(
    data: Data,
    out: Out = Path("eval-identify"),
    url: Url = None,
    rekognition: Rekognition = None,
    region: Region = "us-east-1",
    galleries: Annotated[str, typer.Option(help="Sizes of galleries, comma-separated.")] = "100,500,1000",
    searches: Annotated[
        int, typer.Option(min=1, help="Searches of people inside, and of strangers, at most, a repeat.")
    ] = 1000,
    repeats: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            help="Draw each gallery so many times: 1 over an API, else 3 to 30, until all were left out once.",
        ),
    ] = None,
    face: Face = "central",
    pack: Pack = None,
    seed: Seed = 1,
    keep: Keep = False,
    start_over: StartOver = False,
    pictures: Pictures = False,
) -> None:
    """Who is it: rank-1, FNIR at fixed FPIR, stated against observed false-match rates; one folder a person."""
    people, sizes = read_people(data), _read_sizes(galleries)
    asked = Asked(url, rekognition, region, face, pack, keep, start_over)
    if max(sizes) >= len(people):
        raise OperatorError(f"{data} holds {len(people)} people: too few for a gallery of {max(sizes)} and strangers.")
    plans = plan_galleries(
        people,
        sizes,
        seed=seed,
        searches=searches,
        is_cheap=asked.is_in_process and repeats is None,
        repeats=repeats or (_REPEATS_IN_PROCESS if asked.is_in_process else 1),
    )
    with running(out, asked) as run:
        steps = run.progress.steps("Enrolling and searching", sum(plan.steps for plan in plans))
        calibration = run.here.calibration if asked.is_in_process else None
        rows, failures = evaluate_galleries(run.system, plans, calibration, steps.advance, seed=seed)
        result = {"kind": "Identification", "galleries": rows}
        run.finish(out, result, failures, data, seed, with_pictures=pictures)
    for row in rows:
        fnir = [f"FNIR at FPIR {one['fpir']:g}: {show_rate(one['fnir'])}" for one in row["fnir_at_fpir"]]
        said = [f"rank-1 {1 - row['rank_1_missed']['value']:.4f}", *fnir]
        typer.echo(f"gallery {row['gallery']}: {', '.join(said)}")


@cli.command()
def event(
    data: Data,
    manifest: Annotated[Path, typer.Option(exists=True, help="CSV kind,photo,people: photos and selfies.")],
    out: Out = Path("eval-event"),
    url: Url = None,
    rekognition: Rekognition = None,
    region: Region = "us-east-1",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Cosine, or percent with --rekognition. Default: as the system decides; in process 1e-3 a search, "
            "Rekognition 80."
        ),
    ] = None,
    pack: Pack = None,
    seed: Seed = 1,
    keep: Keep = False,
    start_over: StartOver = False,
    pictures: Pictures = False,
) -> None:
    """Who gets which photos of an event: precision, recall, ranks and false positives of searches with selfies."""
    if threshold is not None and not math.isfinite(threshold):
        raise OperatorError(f"--threshold {threshold}: want a number.")
    found = read_event(data, manifest)
    with running(out, Asked(url, rekognition, region, "largest", pack, keep, start_over)) as run:
        steps = run.progress.steps("Indexing and searching", len(found.photos) + len(found.selfies))
        table, failures = evaluate_event(run.system, found, threshold, steps.advance, seed=seed)
        run.finish(out, {"kind": "Event", "event": table}, failures, data, seed, with_pictures=pictures)
    for name, value in table.items():
        shown = show_rate(value) if isinstance(value, dict) else f"{value:.4g}" if isinstance(value, float) else value
        typer.echo(f"{name:<26} {shown}")


@cli.command()
def compare(
    packs: Annotated[list[str], typer.Argument(help="Two or more model packs.")],
    data: Data,
    pairs: PairsFile,
    out: Out = Path("eval-compare"),
    face: Face = "central",
    seed: Seed = 1,
) -> None:
    """Accuracy and speed of model packs on the same photos, in one table."""
    if len(packs) < 2:
        raise OperatorError("Name two packs or more.")
    listed, rows, about = read_pairs(data, pairs), list[dict[str, Any]](), dict[str, Any]()
    require_pairs(listed)
    first: Any = None
    for number, name in enumerate(packs, 1):
        short = f"{number} {Path(name).name}"
        with running(out / short, Asked(face=face, pack=name)) as run:
            steps = run.progress.steps(short, len(listed))
            # One thread: times that two share are nobody's.
            similarities = compare_pairs(run.system, listed, 1, steps.advance)
            about[short] = run.system.describe()["digest"]
            ms_a_photo = 1000 * run.here.seconds_a_photo
        with suppress(OSError):
            (out / short).rmdir()  # nothing of it is left but the name
        found, _ = evaluate_pairs(listed, similarities, {}, seed=seed)
        first = similarities if first is None else first
        gain = accuracy_gain(listed, first, similarities, seed=seed).as_json() if rows else None
        rows.append(
            {
                "pack": name,
                "accuracy": found["accuracy"],
                "gain": gain,
                "ms_a_photo": ms_a_photo,
                "tar_at_far": {f"{row['far']:g}": row["tar"] for row in found["tar_at_far"]},
                "pairs_without_a_face": found["pairs_without_a_face"],
            }
        )
    text, page = write_report(
        out,
        {"kind": "Comparison", "about": {**about, "data": data.name, "seed": seed}, "packs": rows},
        with_pictures=False,
    )
    typer.echo(f"written: {text}, {page}")
    show_rows(
        [
            {
                "pack": Path(row["pack"]).name,
                "accuracy": show_rate(row["accuracy"]),
                "gain over the first": show_rate(row["gain"]) if row["gain"] else "",
                **{f"TAR at FAR {far}": show_rate(tar) for far, tar in row["tar_at_far"].items()},
                "ms a photo": f"{row['ms_a_photo']:.1f}",
                "pairs without a face": str(row["pairs_without_a_face"]),
            }
            for row in rows
        ],
        as_json=False,
    )


def _read_sizes(text: str) -> list[int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise OperatorError(f"--galleries {text}: want sizes, comma-separated, as 100,500.")
    return sizes


def _all_pairs(run: Run, listed: list[Pair], seed: int) -> dict[str, Any]:
    photos = {
        photo: name
        for pair in listed
        for photo, name in ((pair.first, pair.first_person), (pair.second, pair.second_person))
    }
    steps = run.progress.steps("Every pair", len(photos))
    return evaluate_all_pairs(run.here, photos, run.here.calibration, steps.advance, seed=seed)
