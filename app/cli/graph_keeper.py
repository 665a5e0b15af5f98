"""Keeps the graphs of large collections while the server runs, in the process that starts the workers.

Building an index takes the login that owns the tables, which workers do not have: they answer strangers. Where this
process has none either, `vultus index rebuild` from a timer does the same.
"""

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from app.persistence.provisioning.addresses import DatabaseAddresses
from app.services.maintenance.search_indexes import KEEPER_PAUSE_S
from app.settings import Settings
from app.wiring.operator import search_index_service

_STOP_S = 5.0


@contextmanager
def graph_keeper(
    settings: Settings, addresses: DatabaseAddresses, *, pause_s: float = KEEPER_PAUSE_S, in_own_process: bool = False
) -> Iterator[None]:
    """A thread that keeps graphs for the time of the block, if there is a login for it.

    A process of its own where this one forks workers: a fork copies no thread, but whatever lock it held.
    """
    if addresses.operator == addresses.service:
        yield
        return
    if in_own_process:
        with _process(settings, addresses, pause_s):
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


@contextmanager
def _process(settings: Settings, addresses: DatabaseAddresses, pause_s: float) -> Iterator[None]:
    keeper = multiprocessing.get_context("fork").Process(
        target=_run_alone, args=(settings, addresses, pause_s), name="graph-keeper", daemon=True
    )
    keeper.start()
    try:
        yield
    finally:
        keeper.terminate()
        keeper.join(_STOP_S)


def _run_alone(settings: Settings, addresses: DatabaseAddresses, pause_s: float) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; the one that started us ends us
    asyncio.run(_keep(settings, addresses, pause_s))


def _run(loop: asyncio.AbstractEventLoop, keeping: "asyncio.Task[None]") -> None:
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(keeping)
    loop.close()


async def _keep(settings: Settings, addresses: DatabaseAddresses, pause_s: float) -> None:
    async with search_index_service(settings, addresses) as indexes:
        await indexes.keep(pause_s=pause_s)
