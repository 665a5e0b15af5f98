"""`vultus audit`, `retention`, `templates` and `receipts`: what whoever runs the service owes the people in it."""

import asyncio
import json
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from app.cli.operator import command_keyring, open_services
from app.cli.tables import show_rows
from app.errors import OperatorError
from app.security.receipts import SignedReceipt, is_genuine
from app.services.audit.verification import Verdict
from app.services.erasure.receipts import ReceiptOffice

audit = typer.Typer(help="Check the audit trails.", no_args_is_help=True)
retention = typer.Typer(help="Erase whose time is over.", no_args_is_help=True)
receipts = typer.Typer(help="Check receipts of erasures.", no_args_is_help=True)

templates = typer.Typer(help="Renew the protection of stored embeddings.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@audit.command("verify")
def verify_trails(
    tenant: Annotated[UUID | None, typer.Option("--tenant", help="Of this tenant only.")] = None,
    expect: Annotated[
        str | None, typer.Option(help="SEQ:SEAL as noted earlier (with --tenant): it must still be there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every entry of every trail; print each that was altered, taken away or moved, and exit with 1 then.

    What was cut off the end of a trail together with the note of its end shows only with `--expect`: keep the last
    entry's number and seal somewhere else.
    """
    expected = _read_expected(expect) if expect is not None else None
    if expected is not None and tenant is None:
        raise typer.BadParameter("--expect needs --tenant")

    async def run() -> dict[UUID, Verdict]:
        verdicts = {}
        async with open_services() as services:
            for one in await services.list_tenant_ids(tenant):
                async with services.in_tenant(one) as own:
                    verdicts[one] = await own.audit_verifier().verify(expected=expected)
        return verdicts

    verdicts = asyncio.run(run())
    rows = [
        {
            "tenant_id": str(one),
            "entries": str(verdict.entries),
            "last": str(verdict.last_seq),
            "seal": verdict.last_seal.hex(),
            "flaws": str(len(verdict.flaws)),
        }
        for one, verdict in verdicts.items()
    ]
    flaws = [
        {"tenant_id": str(one), "entry": str(flaw.seq), "flaw": flaw.kind.value, "detail": flaw.detail}
        for one, verdict in verdicts.items()
        for flaw in verdict.flaws
    ]
    if as_json:
        typer.echo(json.dumps({"trails": rows, "flaws": flaws}))
    else:
        show_rows(rows, as_json=False)
        if flaws:
            show_rows(flaws, as_json=False)
    if flaws:
        raise typer.Exit(1)


@retention.command("sweep")
def sweep() -> None:
    """Erase every subject whose own date or whose tenant's retention is over. A running server does so every minute."""

    async def run() -> int:
        async with open_services() as services:
            return await services.retention_sweep().run()

    typer.echo(f"Erased {asyncio.run(run())} subjects.")


@templates.command("rotate")
def rotate_templates(
    tenant: Annotated[UUID | None, typer.Option("--tenant", help="Of this tenant; without: of all.")] = None,
) -> None:
    """Store every embedding under a new secret rotation, without any photo; searches go on meanwhile.

    After the service's secret was changed, this is what makes the old one worthless. What a backup holds stays as it
    was.
    """

    async def run() -> list[dict[str, str]]:
        async with open_services() as services:
            rotation = services.template_rotation()
            return [
                {"tenant_id": str(one), "templates": str(await rotation.run(one))}
                for one in await services.list_tenant_ids(tenant)
            ]

    show_rows(asyncio.run(run()), as_json=False)


@receipts.command("verify")
def verify_receipt(file: Annotated[Path, typer.Argument(exists=True, help="The receipt, as it was answered.")]) -> None:
    """Check that this service signed a receipt and that nobody changed it since; exit with 1 otherwise."""
    try:
        signed = SignedReceipt(**json.loads(file.read_text()))
        genuine = any(is_genuine(signed, key) for key in ReceiptOffice(command_keyring()).public_keys())
    except (ValueError, TypeError, AttributeError):
        raise OperatorError(f"{file} holds no receipt.") from None
    typer.echo("Genuine." if genuine else "Not signed by this service, or changed since.")
    raise typer.Exit(0 if genuine else 1)


def _read_expected(text: str) -> tuple[int, bytes]:
    seq, separator, seal = text.partition(":")
    try:
        if not separator:
            raise ValueError
        return int(seq), bytes.fromhex(seal)
    except ValueError:
        raise typer.BadParameter("--expect: want SEQ:SEAL, as `vultus audit verify` prints them") from None
