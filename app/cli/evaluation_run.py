"""What every `vultus eval` is made of: the options, the system that is asked, progress, what was asked, the report."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.progress import Shown
from app.cli.progress import progress as showing_progress
from app.cli.settings import command_settings
from app.errors import OperatorError
from app.evaluation.answers import Answers
from app.evaluation.failures import Failure, located
from app.evaluation.report import report_files, write_report
from app.evaluation.systems.in_process import InProcess
from app.evaluation.systems.protocol import System
from app.evaluation.systems.rekognition import RekognitionServer
from app.evaluation.systems.vultus import VultusServer

_PIPELINE = 3
"""Changes with how faces are found and cut out: embeddings that were kept from before are made again."""

Data = Annotated[Path, typer.Option(exists=True, file_okay=False, help="The directory with the photos.")]
Out = Annotated[Path, typer.Option(help="Where the report goes: report.json and report.html.")]
Url = Annotated[str | None, typer.Option(help="A running Vultus, evaluated over its public API (VULTUS_API_KEY).")]
Rekognition = Annotated[
    str | None, typer.Option(help="Any endpoint that speaks Rekognition (AWS_ACCESS_KEY_ID ...); `aws` for AWS itself.")
]
Region = Annotated[str, typer.Option(help="The region to sign for, with --rekognition.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed draws the same people.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep what was asked (in process: embeddings) beside the report.")]
StartOver = Annotated[
    bool, typer.Option("--start-over", help="Do not go on with an interrupted run: erase what it left, begin anew.")
]
Pictures = Annotated[bool, typer.Option("--pictures", help="Show what went most wrong as crops in the HTML page.")]
Face = Annotated[str, typer.Option(help="Which face of a photo is meant: `central` or `largest` (in process).")]
Pack = Annotated[str | None, typer.Option(help="A model pack; default: the setting.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which system a run asks, and how."""

    url: str | None = None
    rekognition: str | None = None
    region: str = "us-east-1"
    face: str = "central"
    pack: str | None = None
    keep: bool = False
    start_over: bool = False

    @property
    def is_in_process(self) -> bool:
        """Whether it asks the pipeline of this installation."""
        return not self.url and not self.rekognition


@dataclass(frozen=True, slots=True)
class Run:
    """A run under way."""

    system: System
    progress: Shown

    @property
    def here(self) -> InProcess:
        """The system in this process; raises `OperatorError` for a server."""
        if not isinstance(self.system, InProcess):
            raise OperatorError("This can be measured in process only: leave out --url and --rekognition.")
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
        """Write the report."""
        result["about"] = {**self.system.describe(), "data": data.name, "seed": seed, "vultus": version("vultus")}
        shown = located(failures, self.system.locate) if with_pictures else failures
        result["failures"] = [failure.as_json() for failure in shown]
        text, page = write_report(out, result, with_pictures=with_pictures)
        typer.echo(f"written: {text}, {page}")


@contextmanager
def running(out: Path, asked: Asked) -> Iterator[Run]:
    """A run, which goes on where it was interrupted; on a server nothing of it stays when it is done."""
    if asked.url and asked.rekognition:
        raise OperatorError("--url and --rekognition: one of them.")
    if asked.face not in ("central", "largest"):
        raise OperatorError("--face: central or largest.")
    report_files(out)
    with ExitStack() as stack:
        progress = stack.enter_context(showing_progress())
        system, answers = _open(stack, out, asked)
        if asked.start_over:
            system.abandon()
            answers.forget()
        try:
            yield Run(system, progress)
        except BaseException:
            if asked.is_in_process:
                typer.echo(
                    f"Interrupted. {out / 'answers.jsonl'} holds embeddings of what was looked at: the same command "
                    "goes on from it and removes it in the end; remove it yourself if you do not want to.",
                    err=True,
                )
            elif answers.unfinished:
                typer.echo(
                    f"Interrupted. Collection {', '.join(answers.unfinished)} stays, with faces in it: the same "
                    "command goes on with it and erases it in the end; --start-over erases it first.",
                    err=True,
                )
            raise
        if answers.unfinished:  # of a run with other arguments
            system.abandon()


def _open(stack: ExitStack, out: Path, asked: Asked) -> tuple[System, Answers]:
    def answers_of(about: dict[str, Any]) -> Answers:
        return stack.enter_context(Answers(out / "answers.jsonl", about, keep=asked.keep))

    if asked.url:
        answers = answers_of({"url": asked.url})
        return VultusServer(asked.url, answers), answers
    if asked.rekognition:
        endpoint = "" if asked.rekognition == "aws" else asked.rekognition
        answers = answers_of({"endpoint": endpoint, "region": asked.region})
        return RekognitionServer(endpoint, asked.region, answers), answers
    from app.wiring.analyzer import build_analyzer  # noqa: PLC0415 - it imports the inference libraries

    settings = command_settings()
    if asked.pack is not None:
        settings = settings.model_copy(update={"model_pack": asked.pack})
    analyzer = build_analyzer(settings)
    info = analyzer.engine.info
    answers = answers_of(
        {
            "recognizer": info.recognizer,
            "pack": info.pack,
            "digest": info.digest,
            "face": asked.face,
            "providers": list(info.providers),
            "precision": info.precision,
            "detection_threshold": info.detection_threshold,
            "pipeline": _PIPELINE,
        }
    )
    return InProcess(analyzer, answers, central=asked.face == "central"), answers


def show_rate(rate: dict[str, Any]) -> str:
    """A rate with its interval, for a terminal."""
    if rate["value"] is None:
        return "-"
    return f"{rate['value']:.4f} ({rate['low']:.4f} to {rate['high']:.4f})"
