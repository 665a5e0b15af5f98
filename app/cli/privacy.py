"""`vultus audit`, `retention`, `templates` and `receipts`: the operator's privacy duties."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from app.cli.operator import command_keyring, open_services
from app.cli.settings import command_settings
from app.cli.tables import AsJson, Quiet, show_rows, show_values
from app.errors import OperatorError
from app.security.receipts import SignedReceipt, is_valid_receipt
from app.services.audit.verification import Verdict
from app.services.erasure.receipts import ReceiptSigner

audit = typer.Typer(help="Verify audit trails.", no_args_is_help=True)
retention = typer.Typer(help="Erase expired subjects.", no_args_is_help=True)
receipts = typer.Typer(help="Verify erasure receipts.", no_args_is_help=True)

templates = typer.Typer(help="Renew the protection of stored templates.", no_args_is_help=True)

OneTenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant: its id or name.")]


@audit.command("verify")
def verify_trails(
    tenant: OneTenant = None,
    expect: Annotated[
        str | None,
        typer.Option(help="SEQ:SEAL as an earlier run printed it: the entry must still exist. Needs --tenant."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Verify every entry of the audit trails. Exits with 1 and prints the entries that were altered, removed or moved.

    The removal of the last entries, together with the record of the trail's end, is only detected with --expect:
    keep the sequence number and seal of the last entry outside the database.
    """
    expected = _read_expected(expect) if expect is not None else None
    if expected is not None and tenant is None:
        raise typer.BadParameter("--expect needs --tenant, the trail that the entry belongs to")

    async def run() -> dict[UUID, Verdict]:
        verdicts = {}
        async with open_services() as services:
            for tenant_id in await services.list_tenant_ids(tenant):
                async with services.in_tenant(tenant_id) as tenant_services:
                    verdicts[tenant_id] = await tenant_services.audit_verifier().verify(expected=expected)
        return verdicts

    _show_verdicts(asyncio.run(run()), as_json, quiet)


def _show_verdicts(verdicts: Mapping[UUID, Verdict], as_json: bool, quiet: bool) -> None:
    """Print a row per trail, then a row per flaw; exit with 1 if there is a flaw."""
    rows = [
        {
            "tenant_id": str(tenant_id),
            "entries": str(verdict.entries),
            "last": str(verdict.last_seq),
            "seal": verdict.last_seal.hex(),
            "flaws": str(len(verdict.flaws)),
        }
        for tenant_id, verdict in verdicts.items()
    ]
    flaws = [
        {"tenant_id": str(tenant_id), "entry": str(flaw.seq), "flaw": flaw.kind.value, "detail": flaw.detail}
        for tenant_id, verdict in verdicts.items()
        for flaw in verdict.flaws
    ]
    if as_json:
        typer.echo(json.dumps({"trails": rows, "flaws": flaws}))
    else:
        show_rows(rows, as_json, quiet)
        if flaws:
            show_rows(flaws, as_json, quiet)
    if flaws:
        raise typer.Exit(1)


@retention.command("sweep")
def sweep(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Erase subjects whose expiry date or tenant's retention period has passed.

    A running server does this every minute.
    """

    async def run() -> int:
        async with open_services() as services:
            return await services.retention_sweep().run()

    erased = asyncio.run(run())
    if as_json or quiet:
        show_values({"erased_subjects": str(erased)}, as_json, quiet)
    else:
        typer.echo(f"Erased {erased} subjects.")


@templates.command("rotate")
def rotate_templates(
    tenant: OneTenant = None,
    in_background: Annotated[
        bool, typer.Option("--background", help="Let `vultus worker` do it, and return at once.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Protect every template with a new secret rotation. Needs no photos; searches continue meanwhile.

    Run it after you replaced the service's secret: from then on the old secret is useless. Backups are not changed.
    """

    async def run() -> list[dict[str, str]]:
        async with open_services() as services:
            rotation, rows = services.template_rotation(), []
            for tenant_id in await services.list_tenant_ids(tenant):
                if in_background:
                    await rotation.request(tenant_id)
                    rows.append({"tenant_id": str(tenant_id), "templates": "requested"})
                else:
                    rows.append({"tenant_id": str(tenant_id), "templates": str(await rotation.run(tenant_id))})
            return rows

    show_rows(asyncio.run(run()), as_json, quiet)


@receipts.command("verify")
def verify_receipt(
    file: Annotated[Path, typer.Argument(exists=True, help="File with the receipt as the API returned it.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Verify that this service signed a receipt and that it is unchanged; exits with 1 otherwise.

    Receipts of a removed secret need its public key in VULTUS_PREVIOUS_RECEIPT_KEYS.
    """
    settings = command_settings()
    keys = ReceiptSigner(command_keyring(), settings.previous_receipt_keys).public_keys()
    try:
        signed = SignedReceipt(**json.loads(file.read_text()))
        is_unknown = signed.public_key not in keys and is_valid_receipt(signed, signed.public_key)
        genuine = any(is_valid_receipt(signed, key) for key in keys)
    except (ValueError, TypeError, AttributeError):
        raise OperatorError(f"{file} does not contain a receipt.") from None
    if is_unknown:
        raise OperatorError(
            f"Unknown key: the receipt is unchanged, but no secret of this service has the key {signed.public_key}. If "
            f"it is the key of a secret that you removed, list it in VULTUS_PREVIOUS_RECEIPT_KEYS."
        )
    if as_json or quiet:
        show_values({"genuine": "yes" if genuine else "no"}, as_json, quiet)
    else:
        typer.echo("Genuine." if genuine else "Not genuine: not signed by this service, or changed.")
    raise typer.Exit(0 if genuine else 1)


def _read_expected(text: str) -> tuple[int, bytes]:
    seq, separator, seal = text.partition(":")
    try:
        if not separator:
            raise ValueError
        return int(seq), bytes.fromhex(seal)
    except ValueError:
        raise typer.BadParameter(
            f"--expect {text}: use SEQ:SEAL, the columns `last` and `seal` of `vultus audit verify`"
        ) from None
