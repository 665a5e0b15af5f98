"""`vultus worker`: process the photos of albums without serving, on this host or on others."""

import asyncio
import os
import signal
import sys
from typing import Annotated

import typer

from app.cli.database import announce_database
from app.cli.settings import command_settings
from app.cli.shared_metrics import join_metrics
from app.errors import OperatorError
from app.persistence.provisioning.logins import check_service_login
from app.settings import Settings
from app.telemetry import configure_logging, get_logger

_log = get_logger(__name__)

_CAN_BE_NICE = sys.platform == "linux"
_NICE = 10


def worker(
    turns: Annotated[
        int | None, typer.Option(min=1, max=16, help="Turns to process at the same time; default: VULTUS_WORKER_TURNS.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Photos to analyze at the same time; default: VULTUS_INFERENCE_THREADS."),
    ] = None,
    nice: Annotated[
        int,
        typer.Option(min=0, max=19, help="How much to lower the priority of this process; 0: not. Linux only."),
    ] = _NICE if _CAN_BE_NICE else 0,
) -> None:
    """Process the photos of all tenants' albums until interrupted; running turns are finished then."""
    if nice and not _CAN_BE_NICE:
        raise OperatorError(f"--nice {nice}: only Linux lowers the priority of a process this way; use --nice 0.")
    settings = _with_options(command_settings(), turns, concurrency)
    configure_logging(settings.log_level, settings.log_format)
    problem = asyncio.run(check_service_login(settings))
    if problem is not None:
        typer.echo(f"vultus: {problem}", err=True)
    announce_database(settings, even_if_it_exists=True)
    if nice:
        os.nice(nice)  # before any thread is started: each inherits it
    join_metrics(settings)
    try:
        asyncio.run(_work(settings, gives_way=nice > 0))
    except KeyboardInterrupt:
        raise OperatorError("Interrupted before the running turns ended. Their photos are processed again.") from None


def _with_options(settings: Settings, turns: int | None, concurrency: int | None) -> Settings:
    changed = {"worker_turns": turns, "inference_threads": concurrency}
    return settings.model_copy(update={name: value for name, value in changed.items() if value is not None})


async def _work(settings: Settings, *, gives_way: bool) -> None:
    # This imports the inference libraries, which no other command needs.
    from app.wiring.analyzer import count_inference_threads  # noqa: PLC0415
    from app.wiring.process import running_process  # noqa: PLC0415

    stopping = asyncio.Event()
    _stop_on_signals(stopping)
    async with running_process(settings, works_on_albums=True, gives_way=gives_way):
        _log.info("worker_started", turns=settings.worker_turns, threads=count_inference_threads(settings))
        await stopping.wait()
        _log.info("worker_stopping")
    _log.info("worker_stopped")


def _stop_on_signals(stopping: asyncio.Event) -> None:
    """Set `stopping` at the first SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: loop.call_soon_threadsafe(stop))
