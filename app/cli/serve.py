"""`vultus serve`: run the server."""

import asyncio
import errno
import os
import signal
import socket
import sys
from typing import Annotated

import typer
import uvicorn

from app.cli.database import announce_database
from app.cli.database_keeper import database_keeper
from app.cli.graph_keeper import graph_keeper
from app.cli.settings import command_settings
from app.cli.shared_metrics import MULTIPROC_DIR, share_metrics
from app.errors import OperatorError
from app.ml.packs.library import PackLibrary
from app.persistence.provisioning.addresses import provisioned_database
from app.persistence.provisioning.logins import check_operator_login, check_service_login
from app.server.drain import install_supervised_drain
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from app.telemetry.tracing import check_tracing

_KEEP_ALIVE_S = 30
_DRAIN_S = 30
_HEALTH_CHECK_S = 30
"""uvicorn kills a worker that does not answer for so long. A worker that starts on a busy machine may need more than
its default of 5."""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes; they share the CPU cores.")] = 1,
) -> None:
    """Serve the API until interrupted. Swagger UI is at /docs."""
    run_server(command_settings(), host=host, port=port, workers=workers)


def run_server(settings: Settings, *, host: str, port: int, workers: int) -> None:
    """Check port and database, fetch the packs and provision once, before any worker starts; then run uvicorn."""
    check_before_start(settings, host=host, port=port)
    announce_database(settings, even_if_it_exists=True)
    library = PackLibrary.from_settings(settings)
    for pack in (settings.model_pack, *settings.extra_model_packs):
        library.find(pack)
    settings.signing_keys()
    if settings.inference_url is not None:
        _check_inference(settings)
    # uvicorn raises the signal that stopped it again; unhandled, it would kill us before the database is released.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with asyncio.Runner() as runner:
        provisioned = provisioned_database(settings)
        addresses = runner.run(provisioned.__aenter__())
        try:
            # Workers are separate processes; they read what was decided here from the environment.
            os.environ["VULTUS_DATABASE_URL"] = addresses.service
            if settings.operator_token is not None:
                os.environ["VULTUS_DATABASE_ADMIN_URL"] = addresses.operator
            os.environ["VULTUS_HEADER_TIMEOUT_S"] = str(settings.header_timeout_s)
            if not settings.inference_threads and settings.inference_url is None:
                os.environ["VULTUS_INFERENCE_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
            if workers > 1 or MULTIPROC_DIR in os.environ:
                share_metrics(settings)
            load_settings.cache_clear()
            settings = load_settings()
            is_forking = workers > 1 and settings.share_models and _share_models(settings)
            with (
                database_keeper(addresses.embedded, in_own_process=is_forking),
                graph_keeper(settings, addresses, in_own_process=is_forking),
            ):
                _run_uvicorn(host, port, workers)
        except KeyboardInterrupt:
            pass  # Ctrl-C after a graceful shutdown is the normal end
        finally:
            runner.run(provisioned.__aexit__(None, None, None))


def check_before_start(settings: Settings, *, host: str, port: int) -> None:
    """Raise `OperatorError` if the port cannot be used, the database refuses a login, or a needed package is missing.

    A database that does not respond is only reported: it may still be starting.
    """
    check_tracing(settings)
    check_port(host, port)
    for check in (check_service_login, check_operator_login):
        problem = asyncio.run(check(settings))
        if problem is not None:
            typer.echo(f"vultus: {problem}", err=True)
            return


def check_port(host: str, port: int) -> None:
    """Raise `OperatorError` if nothing can listen on the port."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise OperatorError(
                f"Port {port} on {host} is in use; choose another: `--port {port % 65535 + 1}`, or "
                f"`make run PORT={port % 65535 + 1}`."
            ) from None
        raise OperatorError(f"Cannot listen on {host}, port {port}: {exc.strerror or exc}.") from None


def _check_inference(settings: Settings) -> None:
    """Raise `OperatorError` if the inference server has other packs or limits; one that is away may come later."""
    from app.wiring.analyzer import build_remote_finder  # noqa: PLC0415 - imports the inference libraries

    configure_logging(settings.log_level, settings.log_format)
    finder = build_remote_finder(settings)
    try:
        finder.warm_up()
    finally:
        finder.client.close()


def _share_models(settings: Settings) -> bool:
    # These import the whole application, which no other command needs.
    from app.main import create_app  # noqa: PLC0415
    from app.server.workers import share_models  # noqa: PLC0415

    return share_models(settings, create_app)


def _run_uvicorn(host: str, port: int, workers: int) -> None:
    if workers > 1:
        install_supervised_drain()
    uvicorn.run(
        "app.main:served_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        loop="asyncio",  # PgQueuer brings uvloop, which serves fewer photos: decision 0023
        http="app.server.h11_protocol:TimedH11Protocol",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # app.server.client_address reads them
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
        timeout_worker_healthcheck=_HEALTH_CHECK_S,
    )
