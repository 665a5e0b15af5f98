"""Maintain the HNSW graphs of large collections while the server runs, in the process that starts the workers.

Building an index needs the login that owns the tables. Workers do not have it, since they are exposed to clients.
If this process does not have it either, run `vultus index rebuild` from a timer.
"""

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from app.persistence.provisioning.addresses import DatabaseAddresses
from app.server.parent_process import end_with_parent
from app.services.maintenance.search_indexes import MAINTENANCE_PAUSE_S
from app.settings import Settings
from app.wiring.operator import search_index_service

_STOP_S = 5.0


@contextmanager
def graph_keeper(
    settings: Settings,
    addresses: DatabaseAddresses,
    *,
    pause_s: float = MAINTENANCE_PAUSE_S,
    in_own_process: bool = False,
) -> Iterator[None]:
    """Maintain graphs in a thread until the block ends; does nothing without the operator's login.

    A process that forks workers needs a separate process: a fork would copy the locks that a thread holds, but not
    the thread.
    """
    if addresses.operator == addresses.service:
        yield
        return
    if in_own_process:
        with _process(settings, addresses, pause_s):
            yield
        return
    loop = asyncio.new_event_loop()
    keeper_task = loop.create_task(_maintain(settings, addresses, pause_s))
    thread = threading.Thread(target=_run, args=(loop, keeper_task), name="graph-keeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(keeper_task.cancel)
        thread.join(_STOP_S)  # an incomplete graph is dropped by the next run


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends this one
    end_with_parent()
    asyncio.run(_maintain(settings, addresses, pause_s))


def _run(loop: asyncio.AbstractEventLoop, keeper_task: "asyncio.Task[None]") -> None:
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(keeper_task)
    loop.close()


async def _maintain(settings: Settings, addresses: DatabaseAddresses, pause_s: float) -> None:
    async with search_index_service(settings, addresses) as indexes:
        await indexes.run_forever(pause_s=pause_s)
