"""`vultus eval` and `vultus calibrate`: how right it is, on one's own photos."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from app.cli.settings import command_settings
from app.domain import Calibration, DecisionPolicy
from app.errors import OperatorError
from app.evaluation.answers import Answers
from app.evaluation.datasets import Pair, read_event, read_groups, read_pairs, read_people, split_open_set
from app.evaluation.event import evaluate_event
from app.evaluation.identification import describe, evaluate_galleries, run_split
from app.evaluation.report import write_report
from app.evaluation.systems import InProcess, RekognitionServer, System, VultusServer
from app.evaluation.verification import compare_pairs, evaluate_all_pairs, evaluate_pairs
from app.matcher.strangers import LEAST_PEOPLE, count_strangers, measure_points
from app.matcher.thresholds import Thresholds
from app.ml.packs import PackLibrary, write_calibration
from app.settings import Settings

cli = typer.Typer(help="Measure how right it is, on your own photos.", no_args_is_help=True)

_THREADS = 4
_PIPELINE = 2
"""Changes with how faces are found and cut out: embeddings that were kept from before are made again."""

Data = Annotated[Path, typer.Option(exists=True, file_okay=False, help="The directory with the photos.")]
Out = Annotated[Path, typer.Option(help="Where the report goes: report.json and report.html.")]
Url = Annotated[str | None, typer.Option(help="A running Vultus, evaluated over its public API (VULTUS_API_KEY).")]
Rekognition = Annotated[
    str | None, typer.Option(help="Any endpoint that speaks Rekognition (AWS_ACCESS_KEY_ID ...); `aws` for AWS itself.")
]
Region = Annotated[str, typer.Option(help="The region to sign for, with --rekognition.")]
Seed = Annotated[int, typer.Option(help="The same seed draws the same people.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep what was asked (in process: embeddings) beside the report.")]
Pictures = Annotated[bool, typer.Option("--pictures", help="Show the most wrong pairs as crops in the HTML page.")]
Face = Annotated[str, typer.Option(help="Which face of a photo is meant: `central` or `largest` (in process).")]
Pack = Annotated[str | None, typer.Option(help="A model pack; default: the setting.")]


@dataclass
class _Run:
    """What a run is made of."""

    system: System
    answers: Answers
    progress: Progress
    calibration: Calibration | None

    @property
    def here(self) -> InProcess:
        """The system in this process; raises `OperatorError` for a server."""
        if not isinstance(self.system, InProcess):
            raise OperatorError("This can be measured in process only: leave out --url and --rekognition.")
        return self.system


@cli.command()
def verify(
    data: Data,
    pairs: Annotated[Path, typer.Option(exists=True, help="Pairs in LFW's format.")],
    out: Out = Path("eval-verify"),
    url: Url = None,
    rekognition: Rekognition = None,
    region: Region = "us-east-1",
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Also every pair of these photos (in process).")
    ] = False,
    groups: Annotated[Path | None, typer.Option(help="CSV person,group: rates by group.")] = None,
    face: Face = "central",
    pack: Pack = None,
    seed: Seed = 1,
    keep: Keep = False,
    pictures: Pictures = False,
) -> None:
    """Is it the same person: accuracy over folds, true accept rates at fixed false accept rates, with intervals."""
    listed, group_of = read_pairs(data, pairs), read_groups(groups) if groups else {}
    if all_pairs and (url or rekognition):
        raise OperatorError("--all-pairs can be measured in process only: leave out --url and --rekognition.")
    with _running(out, url, rekognition, region, face, pack, keep) as run:
        task = run.progress.add_task("Comparing", total=len(listed))
        similarities = compare_pairs(
            run.system, listed, run.answers, _THREADS, lambda: run.progress.advance(task)
        )  # fmt: skip
        result: dict[str, Any] = {"kind": "Verification"}
        result["verification"] = evaluate_pairs(
            listed, similarities, group_of, seed=seed
        )  # fmt: skip
        if all_pairs:
            result["all_pairs"] = _all_pairs(run, listed, seed)
        _finish(run, out, result, data, seed, pictures)
    found = result["verification"]
    typer.echo(f"accuracy {_show(found['accuracy'])}; {found['pairs_without_a_face']} pairs without a face")
    for row in found["tar_at_far"]:
        typer.echo(f"TAR at FAR {row['far']:g}: {_show(row['tar'])}")


@cli.command()
def identify(
    data: Data,
    out: Out = Path("eval-identify"),
    url: Url = None,
    rekognition: Rekognition = None,
    region: Region = "us-east-1",
    galleries: Annotated[str, typer.Option(help="Sizes of galleries, comma-separated.")] = "100,500,1000",
    searches: Annotated[int, typer.Option(help="Searches of people inside, and of strangers, at most.")] = 1000,
    repeats: Annotated[int, typer.Option(min=1, help="Draw each gallery so many times (in process).")] = 3,
    face: Face = "central",
    pack: Pack = None,
    seed: Seed = 1,
    keep: Keep = False,
) -> None:
    """Who is it: rank-1, FNIR at fixed FPIR, stated against observed false-match rates; one folder a person."""
    people, sizes = read_people(data), _read_sizes(galleries)
    if max(sizes) >= len(people):
        raise OperatorError(f"{data} holds {len(people)} people: too few for a gallery of {max(sizes)} and strangers.")
    with _running(out, url, rekognition, region, face, pack, keep) as run:
        task = run.progress.add_task("Searching", total=None)

        def advance() -> None:
            run.progress.advance(task)

        result: dict[str, Any] = {"kind": "Identification"}
        if isinstance(run.system, InProcess):
            assert run.calibration is not None
            result["galleries"] = evaluate_galleries(
                run.system, people, sizes, run.calibration, advance, seed=seed, searches=searches, repeats=repeats
            )
        else:
            if len(sizes) > 1:
                raise OperatorError("Over an API one gallery a run: --galleries SIZE.")
            split = split_open_set(people, sizes[0], seed=seed, searches=searches)
            found = run_split(run.system, split, advance)
            result["galleries"] = [{"gallery": sizes[0], **describe([found], None, sizes[0], seed=seed)}]
        _finish(run, out, result, data, seed, with_pictures=False)
    for row in result["galleries"]:
        missed = row["rank_1_missed"]["value"]
        fnir = ", ".join(f"FNIR at FPIR {one['fpir']:g}: {_show(one['fnir'])}" for one in row["fnir_at_fpir"])
        typer.echo(f"gallery {row['gallery']}: rank-1 {1 - missed:.4f}; {fnir}")


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
            help="Cosine, or percent with --rekognition; default: 1e-3 per search, the server's decision with --url."
        ),
    ] = None,
    pack: Pack = None,
    seed: Seed = 1,
    keep: Keep = False,
) -> None:
    """Who gets which photos of an event: precision, recall, ranks and false positives of searches with selfies."""
    found = read_event(data, manifest)
    with _running(out, url, rekognition, region, "largest", pack, keep) as run:
        task = run.progress.add_task("Indexing and searching", total=len(found.photos) + len(found.selfies))
        used = threshold
        if used is None and rekognition:
            used = 80.0
        elif used is None and run.calibration is not None:
            used = Thresholds.of(run.calibration, DecisionPolicy(), 5 * len(found.photos)).match
        result: dict[str, Any] = {"kind": "Event"}
        result["event"] = evaluate_event(run.system, found, used, lambda: run.progress.advance(task))
        _finish(run, out, result, data, seed, with_pictures=False)
    for name, value in result["event"].items():
        typer.echo(f"{name:<26} {value:.4g}" if isinstance(value, float) else f"{name:<26} {value}")


@cli.command()
def compare(
    packs: Annotated[list[str], typer.Argument(help="Two or more model packs.")],
    data: Data,
    pairs: Annotated[Path, typer.Option(exists=True, help="Pairs in LFW's format.")],
    out: Out = Path("eval-compare"),
    face: Face = "central",
    seed: Seed = 1,
) -> None:
    """Accuracy and speed of model packs on the same photos, in one table."""
    listed, rows = read_pairs(data, pairs), []
    for name in packs:
        (out / Path(name).name / "answers.jsonl").unlink(missing_ok=True)  # what was asked before took no time
        with _running(out / Path(name).name, None, None, "", face, name, keep=False) as run:
            task = run.progress.add_task(Path(name).name, total=len(listed))
            began = time.perf_counter()
            similarities = compare_pairs(
                run.system,
                listed,
                run.answers,
                1,
                lambda run=run, task=task: run.progress.advance(task),  # type: ignore[misc]
            )
            seconds = time.perf_counter() - began
        found = evaluate_pairs(listed, similarities, {}, seed=seed)
        photos = len({photo for pair in listed for photo in (pair.first, pair.second)})
        at = {row["far"]: row["tar"]["value"] for row in found["tar_at_far"]}
        rows.append(
            {"pack": name, "accuracy": found["accuracy"], "tar_at_far": at, "ms_a_photo": 1000 * seconds / photos,
             "pairs_without_a_face": found["pairs_without_a_face"]}
        )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "compare.json").write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        tars = ", ".join(f"TAR@{far:g} {tar:.4f}" for far, tar in row["tar_at_far"].items())
        typer.echo(f"{row['pack']}: accuracy {_show(row['accuracy'])}, {tars}, {row['ms_a_photo']:.1f} ms a photo")


def calibrate(
    data: Data,
    pack: Pack = None,
    face: Face = "central",
    out: Out = Path("calibration"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print, and write nothing into the pack.")] = False,
    keep: Keep = False,
) -> None:
    """Measure how similar strangers are for a pack's recogniser, and write it into the pack's pack.json.

    The photos: one folder a person, nobody in two folders. What is rarer than was measured will be extrapolated.
    """
    people = read_people(data)
    with _running(out, None, None, "", face, pack, keep) as run:
        task = run.progress.add_task("Embedding", total=sum(len(person.photos) for person in people))
        names, embeddings = [], []
        for person in people:
            for photo in person.photos:
                embedding = run.here.embed(photo)
                run.progress.advance(task)
                if embedding is not None:
                    names.append(person.name)
                    embeddings.append(embedding)
    if len(embeddings) < 2:
        raise OperatorError(f"{data} holds fewer than two photos with faces.")
    counts = count_strangers(embeddings, np.unique(names, return_inverse=True)[1])
    points = measure_points(counts)
    if len(points) < 2:
        raise OperatorError(f"{len(set(names))} people are too few to calibrate on: {LEAST_PEOPLE} are needed.")
    source = f"measured on {round(counts.sum())} pairs of {len(set(names))} people"
    typer.echo("\n".join(f"FMR {rate:g} at {cosine:.4f}" for rate, cosine in points))
    typer.echo(f"({source}; rarer ones are extrapolated)")
    if not dry_run:
        settings = command_settings()
        library = PackLibrary.of(settings)
        written = write_calibration(library.find(pack or settings.model_pack), points, source)
        typer.echo(f"written into {written}")


@contextmanager
def _running(
    out: Path, url: str | None, rekognition: str | None, region: str, face: str, pack: str | None, keep: bool
) -> Iterator[_Run]:
    if url and rekognition:
        raise OperatorError("--url and --rekognition: one of them.")
    if face not in ("central", "largest"):
        raise OperatorError("--face: central or largest.")
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=Console(stderr=True)))
        answers_of = _answers(stack, out, keep)
        if url:
            server = VultusServer(url)
            stack.enter_context(server.collection())
            yield _Run(server, answers_of({"url": url}), progress, None)
        elif rekognition:
            endpoint = "" if rekognition == "aws" else rekognition
            speaker = RekognitionServer(endpoint, region)
            stack.enter_context(speaker.collection())
            yield _Run(speaker, answers_of({"endpoint": endpoint, "region": region}), progress, None)
        else:
            from app.main import build_analyzer  # noqa: PLC0415 - of all commands' start it would be most; see serve.py

            analyzer = build_analyzer(_settings(pack))
            info = analyzer.engine.info
            answers = answers_of(
                {"recognizer": info.recognizer, "pack": info.pack, "digest": info.digest, "face": face,
                 "providers": list(info.providers), "precision": info.precision,
                 "detection_threshold": info.detection_threshold, "pipeline": _PIPELINE}
            )  # fmt: skip
            system = InProcess(analyzer, answers, central=face == "central")
            yield _Run(system, answers, progress, info.calibration)


def _read_sizes(text: str) -> list[int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise OperatorError(f"--galleries {text}: want sizes, comma-separated, as 100,500.")
    return sizes


def _answers(stack: ExitStack, out: Path, keep: bool) -> Any:
    return lambda about: stack.enter_context(Answers(out / "answers.jsonl", about, keep=keep))


def _settings(pack: str | None) -> Settings:
    settings = command_settings()
    return settings if pack is None else settings.model_copy(update={"model_pack": pack})


def _all_pairs(run: _Run, listed: Sequence[Pair], seed: int) -> dict[str, Any]:
    photos = {
        photo: name
        for pair in listed
        for photo, name in ((pair.first, pair.first_person), (pair.second, pair.second_person))
    }
    task = run.progress.add_task("Every pair", total=len(photos))
    assert run.calibration is not None
    return evaluate_all_pairs(run.here, photos, run.calibration, lambda: run.progress.advance(task), seed=seed)


def _finish(run: _Run, out: Path, result: dict[str, Any], data: Path, seed: int, with_pictures: bool) -> None:
    result["about"] = {**run.system.describe(), "data": data.name, "seed": seed, "vultus": version("vultus")}
    text, page = write_report(out, result, with_pictures=with_pictures)
    typer.echo(f"written: {text}, {page}")


def _show(rate: dict[str, Any]) -> str:
    return f"{rate['value']:.4f} ({rate['low']:.4f} to {rate['high']:.4f})"
