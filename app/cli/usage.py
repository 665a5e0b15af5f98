"""`vultus usage`: what each tenant's callers did, by day: the numbers behind a bill."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from app.cli.operator import open_services
from app.cli.tables import show_rows

_DAY = ["%Y-%m-%d"]


def usage(
    tenant: Annotated[UUID | None, typer.Option("--tenant", help="Of this tenant only.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="The first day; by default the first of this month (UTC).")
    ] = None,
    before: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="The day after the last; by default tomorrow.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Show what was answered with success, by tenant, day, operation and caller."""
    today = datetime.now(UTC).date()
    first = since.date() if since is not None else today.replace(day=1)
    end = before.date() if before is not None else today + timedelta(days=1)

    async def run() -> list[dict[str, str]]:
        rows = []
        async with open_services() as services:
            for one in await services.list_tenant_ids(tenant):
                async with services.in_tenant(one) as own:
                    counts = await own.usage().list_days(first, end)
                rows += [
                    {
                        "tenant_id": str(one),
                        "day": str(key.day),
                        "operation": key.operation,
                        "caller": key.caller,
                        "calls": str(count.calls),
                        "images": str(count.images),
                    }
                    for key, count in counts.items()
                ]
        return rows

    show_rows(asyncio.run(run()), as_json)
