"""`vultus usage`: daily counts of calls and images, the basis of a bill."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

import typer

from app.cli.operator import open_services
from app.cli.tables import AsJson, Quiet, show_rows
from app.services.paging import iterate_pages

_DAY = ["%Y-%m-%d"]


def usage(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant: its id or name.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=_DAY, help="First day (YYYY-MM-DD); by default the first of this month, UTC."),
    ] = None,
    before: Annotated[
        datetime | None,
        typer.Option(formats=_DAY, help="Day after the last one (YYYY-MM-DD); by default tomorrow, UTC."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show successful calls, their images and the seconds of videos by tenant, day, operation and caller."""
    today = datetime.now(UTC).date()
    first = since.date() if since is not None else today.replace(day=1)
    end = before.date() if before is not None else today + timedelta(days=1)

    async def run() -> list[dict[str, str]]:
        rows = []
        async with open_services() as services:
            for tenant_id in await services.list_tenant_ids(tenant):
                async with services.in_tenant(tenant_id) as tenant_services:
                    service = tenant_services.usage()
                    counts = [item async for item in iterate_pages(partial(service.list_days, first, end))]
                rows += [
                    {
                        "tenant_id": str(tenant_id),
                        "day": str(key.day),
                        "operation": key.operation,
                        "caller": key.caller,
                        "calls": str(count.calls),
                        "images": str(count.images),
                        "video_seconds": str(count.video_seconds),
                    }
                    for key, count in counts
                ]
        return rows

    show_rows(asyncio.run(run()), as_json, quiet)
