"""The `vultus` command: serve, demo, migrate, settings, tenants, plans, users, keys, models, index, audit,
retention, templates, receipts, usage, import, eval, calibrate.

Exit codes: 0 success, 1 failure, 2 wrong usage.
"""

import sys

import typer

from app.cli import (
    calibrate,
    demo,
    evaluate,
    import_photos,
    index,
    models,
    privacy,
    serve,
    settings_reference,
    tenants,
    usage,
)
from app.errors import AppError, OperatorError

cli = typer.Typer(
    name="vultus",
    help="Self-hosted, multi-tenant face recognition.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
cli.command("serve")(serve.serve)
cli.command("migrate")(serve.migrate_database)
cli.command("demo")(demo.demo)
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
cli.add_typer(import_photos.cli, name="import")
cli.add_typer(privacy.audit, name="audit")
cli.add_typer(privacy.retention, name="retention")
cli.add_typer(privacy.templates, name="templates")
cli.add_typer(privacy.receipts, name="receipts")


def main() -> None:
    """Run the command; an expected error becomes one message on stderr and exit code 1."""
    try:
        cli()
    except OperatorError as exc:
        sys.exit(f"vultus: {exc}")
    except AppError as exc:
        sys.exit(f"vultus: {exc.code}: {exc.detail}")
