"""The `vultus` command: init, serve, worker, inference, demo, migrate, doctor, settings, tenants, plans, users, keys,
models, index, backup, audit, retention, templates, receipts, usage, albums, videos, import, eval, calibrate.

Exit codes: 0 success, 1 failure, 2 wrong usage. `vultus --install-completion` completes commands in your shell.
"""

import gc
import platform
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from app.cli import (
    albums,
    backup,
    calibrate,
    demo,
    doctor,
    evaluate,
    imports,
    index,
    inference,
    init,
    migrate,
    models,
    privacy,
    serve,
    settings_reference,
    tenants,
    usage,
    videos,
    worker,
)
from app.errors import AppError, OperatorError

cli = typer.Typer(
    name="vultus",
    help="Self-hosted, multi-tenant face recognition.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"vultus {version('vultus')} (Python {platform.python_version()})")
        raise typer.Exit


@cli.callback()
def choose(
    is_asked: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Self-hosted, multi-tenant face recognition."""


cli.command("init")(init.init)
cli.command("serve")(serve.serve)
cli.command("worker")(worker.worker)
cli.command("inference")(inference.inference)
cli.command("migrate")(migrate.migrate_database)
cli.command("demo")(demo.demo)
cli.command("doctor")(doctor.doctor)
cli.command("settings")(settings_reference.write_settings)
cli.command("usage")(usage.usage)
cli.command("calibrate")(calibrate.calibrate)
cli.add_typer(evaluate.cli, name="eval")
cli.add_typer(tenants.tenants, name="tenants")
cli.add_typer(tenants.plans, name="plans")
cli.add_typer(tenants.users, name="users")
cli.add_typer(tenants.keys, name="keys")
cli.add_typer(models.cli, name="models")
cli.add_typer(index.cli, name="index")
cli.add_typer(backup.cli, name="backup")
cli.add_typer(albums.cli, name="albums")
cli.add_typer(videos.cli, name="videos")
cli.add_typer(imports.cli, name="import")
cli.add_typer(privacy.audit, name="audit")
cli.add_typer(privacy.retention, name="retention")
cli.add_typer(privacy.templates, name="templates")
cli.add_typer(privacy.receipts, name="receipts")


def main() -> None:
    """Run the command; an error becomes one line on stderr and an exit code."""
    gc.freeze()  # at the end, Python would look through all that was imported, for half a second
    try:
        sys.exit(cli(prog_name="vultus", standalone_mode=False))
    except typer.Abort:
        _fail("aborted", 1)
    except TyperException as exc:
        _fail(_usage_error(exc), exc.exit_code)
    except (OperatorError, OSError) as exc:
        _fail(str(exc), 1)
    except AppError as exc:
        _fail(f"{exc.code}: {exc.detail}", 1)


def _fail(message: str, code: int) -> NoReturn:
    text = " ".join(message.split())
    if text:
        typer.echo(f"vultus: {text}", err=True)
    sys.exit(code)


def _usage_error(exc: TyperException) -> str:
    """Return the error and the command that explains it; empty if a group printed its help instead."""
    context = getattr(exc, "ctx", None)
    hint = f" See `{context.command_path} --help`." if context is not None else ""
    message = exc.format_message().replace("Value error, ", "").rstrip(". ")
    return f"{message}.{hint}" if message else ""
