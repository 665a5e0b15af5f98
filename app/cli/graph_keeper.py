"""Keeps the graphs of large collections while the server runs, in the process that starts the workers.

Building an index takes the login that owns the tables, which workers do not have: they answer strangers. Where this
process has none either, `vultus index rebuild` from a timer does the same.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from app.matcher.building import build_search
from app.persistence.database import Database
from app.persistence.provision import DatabaseAddresses
from app.persistence.repositories.graphs import GraphDirectory
from app.services.search_indexes import KEEPER_PAUSE_S, SearchIndexService
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
    operator = Database(addresses.operator, pool_size=2, behind_pgbouncer=settings.database_pgbouncer)
    engine = build_search(settings, addresses.service)
    try:
        service = SearchIndexService(GraphDirectory(operator), engine, graph_from=settings.search_graph_from)
        await service.keep(pause_s=pause_s)
    finally:
        await engine.close()
        await operator.close()
