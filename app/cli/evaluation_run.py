"""What the `vultus eval` commands share: options, the evaluated system, progress, resuming and the report."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.progress import ProgressDisplay, show_progress
from app.cli.settings import command_settings
from app.errors import OperatorError
from app.evaluation.answers import Answers
from app.evaluation.failures import Failure, add_boxes
from app.evaluation.report import report_files, write_report
from app.evaluation.systems.in_process import InProcess
from app.evaluation.systems.protocol import System
from app.evaluation.systems.rekognition import RekognitionServer
from app.evaluation.systems.vultus import VultusServer
from app.evaluation.systems.vultus_album import VultusAlbums

_PIPELINE = 3
"""Increase it when detection or alignment changes: embeddings kept by earlier versions are then computed again."""

Data = Annotated[Path, typer.Option(exists=True, file_okay=False, help="Directory with the photos.")]
Out = Annotated[Path, typer.Option(help="Directory for the report: report.json and report.html.")]
Url = Annotated[
    str | None, typer.Option(help="Evaluate a running Vultus over its API; the API key is read from VULTUS_API_KEY.")
]
Rekognition = Annotated[
    str | None,
    typer.Option(
        help="Evaluate an endpoint that speaks Rekognition, or AWS itself with `aws`; the access key is read from "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    ),
]
Region = Annotated[str, typer.Option(help="Region to sign requests for, with --rekognition.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of random samples; the same seed draws the same people.")]
Keep = Annotated[
    bool, typer.Option("--keep", help="Keep intermediate results (in process: embeddings) next to the report.")
]
StartOver = Annotated[
    bool, typer.Option("--start-over", help="Do not resume an interrupted run; delete what it left and start again.")
]
Pictures = Annotated[bool, typer.Option("--pictures", help="Show crops of the worst errors in the HTML report.")]
Face = Annotated[str, typer.Option(help="Face to use in each photo: `central` or `largest` (in process only).")]
Pack = Annotated[str | None, typer.Option(help="Model pack; by default VULTUS_MODEL_PACK.")]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The system to evaluate, and how to run."""

    url: str | None = None
    rekognition: str | None = None
    region: str = "us-east-1"
    face: str = "central"
    pack: str | None = None
    keep: bool = False
    start_over: bool = False
    album: bool = False
    """Whether the galleries of a Vultus server are albums."""

    @property
    def is_in_process(self) -> bool:
        """Whether the pipeline of this installation is evaluated, not a server."""
        return not self.url and not self.rekognition


@dataclass(frozen=True, slots=True)
class Run:
    """A run in progress."""

    system: System
    progress: ProgressDisplay

    @property
    def in_process(self) -> InProcess:
        """The evaluated system, in this process; raises `OperatorError` if it is a server."""
        if not isinstance(self.system, InProcess):
            raise OperatorError("This can only be measured in process; remove --url and --rekognition.")
        return self.system

    def finish(
        self,
        out: Path,
        result: dict[str, Any],
        failures: Sequence[Failure],
        data: Path,
        seed: int,
        *,
        with_pictures: bool = False,
    ) -> None:
        """Write the report and print its paths."""
        result["about"] = {**self.system.describe(), "data": data.name, "seed": seed, "vultus": version("vultus")}
        shown = add_boxes(failures, self.system.locate) if with_pictures else failures
        result["failures"] = [failure.as_json() for failure in shown]
        text, page = write_report(out, result, with_pictures=with_pictures)
        typer.echo(f"Report written to {text} and {page}.")


@contextmanager
def open_run(out: Path, options: RunOptions) -> Iterator[Run]:
    """Start a run, or resume an interrupted one. When it completes, its collections on a server are deleted.

    Raises `OperatorError` for contradictory options.
    """
    if options.url and options.rekognition:
        raise OperatorError("--url and --rekognition: use only one of them.")
    if options.album and not options.url:
        raise OperatorError("--album: name the server with --url.")
    if options.face not in ("central", "largest"):
        raise OperatorError(f"--face {options.face}: use central or largest.")
    report_files(out)
    with ExitStack() as stack:
        progress = stack.enter_context(show_progress())
        system, answers = _open_system(stack, out, options)
        if options.start_over:
            system.erase_open_collections()
            answers.clear()
        try:
            yield Run(system, progress)
        except BaseException:
            _explain_interruption(out, answers, is_in_process=options.is_in_process)
            raise
        if answers.open_collections:  # collections of a run with other arguments
            system.erase_open_collections()


def _explain_interruption(out: Path, answers: Answers, *, is_in_process: bool) -> None:
    if is_in_process:
        typer.echo(
            f"Interrupted. {out / 'answers.jsonl'} contains embeddings of the photos processed so far. Repeat the "
            "command to resume; it removes the file when it completes. Otherwise remove the file yourself.",
            err=True,
        )
    elif answers.open_collections:
        typer.echo(
            f"Interrupted. The server still has the collection {', '.join(answers.open_collections)} with faces in it. "
            "Repeat the command to resume; it erases the collection when it completes. Add --start-over to erase it "
            "first.",
            err=True,
        )


def _open_system(stack: ExitStack, out: Path, options: RunOptions) -> tuple[System, Answers]:
    def open_answers(about: dict[str, Any]) -> Answers:
        return stack.enter_context(Answers(out / "answers.jsonl", about, keep=options.keep))

    if options.url:
        answers = open_answers({"url": options.url})
        return (VultusAlbums if options.album else VultusServer)(options.url, answers), answers
    if options.rekognition:
        endpoint = "" if options.rekognition == "aws" else options.rekognition
        answers = open_answers({"endpoint": endpoint, "region": options.region})
        return RekognitionServer(endpoint, options.region, answers), answers
    from app.wiring.analyzer import build_analyzer  # noqa: PLC0415 - imports the inference libraries

    settings = command_settings()
    if options.pack is not None:
        settings = settings.model_copy(update={"model_pack": options.pack})
    analyzer = build_analyzer(settings)
    info = analyzer.engine.info
    answers = open_answers(
        {
            "recognizer": info.recognizer,
            "pack": info.pack,
            "digest": info.digest,
            "face": options.face,
            "providers": list(info.providers),
            "precision": info.precision,
            "detection_threshold": info.detection_threshold,
            "pipeline": _PIPELINE,
        }
    )
    return InProcess(analyzer, answers, central=options.face == "central"), answers


def format_rate(rate: dict[str, Any]) -> str:
    """Format a rate with its interval."""
    if rate["value"] is None:
        return "-"
    return f"{rate['value']:.4f} ({rate['low']:.4f} to {rate['high']:.4f})"
