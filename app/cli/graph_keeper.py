"""Keeps the graphs of large collections while the server runs, in the process that starts the workers.

Building an index takes the login that owns the tables, which workers do not have: they answer strangers. Where this
process has none either, `vultus index rebuild` from a timer does the same.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from app.cli.opened_indexes import opened_indexes
from app.persistence.provision import DatabaseAddresses
from app.services.search_indexes import KEEPER_PAUSE_S
from app.settings import Settings

_STOP_S = 5.0


@contextmanager
def graphs_kept(settings: Settings, addresses: DatabaseAddresses, *, pause_s: float = KEEPER_PAUSE_S) -> Iterator[None]:
    """A thread that keeps graphs for the time of the block, if there is a login for it."""
    if addresses.operator == addresses.service:
        yield
        return
    loop = asyncio.new_event_loop()
    keeping = loop.create_task(_keep(settings, addresses, pause_s))
    thread = threading.Thread(target=_run, args=(loop, keeping), name="graph-keeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(keeping.cancel)
        thread.join(_STOP_S)  # a graph half built is dropped by the next round


def _run(loop: asyncio.AbstractEventLoop, keeping: "asyncio.Task[None]") -> None:
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(keeping)
    loop.close()


async def _keep(settings: Settings, addresses: DatabaseAddresses, pause_s: float) -> None:
    async with opened_indexes(settings, addresses) as indexes:
        await indexes.keep(pause_s=pause_s)
