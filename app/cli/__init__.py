"""The `vultus` command: serve, demo, migrate, tenants, plans, users, keys, models, index, audit,
retention, templates, receipts, usage, import, eval, calibrate.

Exit codes: 0 done, 1 not done, 2 used wrongly.
"""

import sys

import typer

from app.cli import calibrate, demo, evaluate, import_photos, index, models, privacy, serve, tenants, usage
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
    """Entry point; errors meant for the operator become one message on stderr and exit code 1."""
    try:
        cli()
    except OperatorError as exc:
        sys.exit(f"vultus: {exc}")
    except AppError as exc:
        sys.exit(f"vultus: {exc.code}: {exc.detail}")
