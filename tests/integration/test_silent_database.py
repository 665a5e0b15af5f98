"""A PostgreSQL that stops, freezes or loses connections: every caller hears of it, and none waits for ever."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import psutil
import pytest
from sqlalchemy import text

from app.errors import DatabaseUnavailable, NotReady
from app.persistence.connections.database import Database, driver_address
from app.persistence.connections.errors import translate_errors
from app.persistence.connections.snapshots import SnapshotPool
from app.persistence.connections.statements import StatementPool
from app.persistence.connections.watchdog import Watchdog, connect
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.services.maintenance.background_erasure import BackgroundErasure
from app.services.maintenance.health import HealthService

GIVE_UP_S = 60
SLOW = "SELECT pg_sleep(120)"


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedPostgres, Path]]:
    """A server that nobody else uses."""
    data_dir = tmp_path_factory.mktemp("frozen")
    server = EmbeddedPostgres(data_dir, settings={"fsync": "off", "full_page_writes": "off"})
    server.start()
    yield server, data_dir
    server.stop()


@pytest.fixture(scope="module")
async def own_url(own_postgres: tuple[EmbeddedPostgres, Path]) -> str:
    url = await own_postgres[0].ensure_database()
    await asyncio.to_thread(migrate, url)
    return url


@contextmanager
def frozen(data_dir: Path) -> Iterator[None]:
    """Stop the server's processes for the block, as a machine does that swaps or loses its disk."""
    postmaster = psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
    stopped = [postmaster, *postmaster.children(recursive=True)]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)


@pytest.fixture
async def watchdog(own_url: str) -> AsyncIterator[Watchdog]:
    watchdog = Watchdog(driver_address(own_url), pause_s=0.1, timeout_s=1)
    async with watchdog.running():
        yield watchdog


@pytest.fixture
async def watched(own_url: str, watchdog: Watchdog) -> AsyncIterator[Database]:
    database = Database(own_url, watchdog=watchdog)
    yield database
    await database.close()


async def sleep_in(database: Database, statement: str = SLOW) -> None:
    async with database.transaction(as_operator=True) as session:
        await session.execute(text(statement))


async def sleep_in_snapshot(pool: SnapshotPool) -> None:
    async with pool.snapshot(uuid4()) as connection:
        await connection.execute(SLOW)


async def test_nobody_waits_for_a_frozen_server(
    own_postgres: tuple[EmbeddedPostgres, Path], own_url: str, watchdog: Watchdog, watched: Database
) -> None:
    statements = StatementPool(driver_address(own_url), size=2, watchdog=watchdog)
    snapshots = SnapshotPool(own_url, size=2, watchdog=watchdog)
    waits: list[Callable[[], Awaitable[object]]] = [
        lambda: sleep_in(watched),
        lambda: sleep_in_snapshot(snapshots),
        lambda: statements.fetch_row(SLOW),
    ]
    try:
        async with asyncio.timeout(GIVE_UP_S):
            running = [asyncio.ensure_future(wait()) for wait in waits]
            await asyncio.sleep(0.5)
            with frozen(own_postgres[1]):
                before = await asyncio.gather(*running, return_exceptions=True)
                during = await asyncio.gather(*(wait() for wait in waits), return_exceptions=True)
            assert [type(error) for error in before + during] == [DatabaseUnavailable] * 6
            await until_available(lambda: statements.fetch_row("SELECT 1"))
            assert await watched.revision() is not None
            async with snapshots.snapshot(uuid4()) as connection:
                assert await connection.fetchval("SELECT 1") == 1
    finally:
        await statements.close()
        await snapshots.close()


async def until_available(ask: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await ask()
        except DatabaseUnavailable:
            await asyncio.sleep(0.1)
        else:
            return


async def test_a_long_statement_of_a_healthy_server_is_left_alone(watched: Database) -> None:
    async with watched.transaction(as_operator=True) as session:
        await session.execute(text("SELECT pg_sleep(3)"))
        assert await session.scalar(text("SELECT 1")) == 1


async def test_readiness_needs_no_reply_to_be_denied(
    own_postgres: tuple[EmbeddedPostgres, Path], own_url: str, erasure: BackgroundErasure
) -> None:
    database = Database(own_url)  # nothing ends its statements
    health = HealthService(database, erasure, None, must_be_confined=False)
    async with asyncio.timeout(GIVE_UP_S):
        with frozen(own_postgres[1]):
            for _ in range(3):
                with pytest.raises(NotReady, match="does not respond"):
                    await health.check_ready()
            assert database.engine.pool.checkedout() <= 1  # type: ignore[attr-defined]
        while "does not respond" in await reason(health):  # the same reading goes on, and ends
            pass
    await database.close()


async def reason(health: HealthService) -> str:
    with pytest.raises(NotReady) as denied:
        await health.check_ready()
    return denied.value.detail


@pytest.fixture
def erasure(own_url: str) -> BackgroundErasure:
    return BackgroundErasure(None, None)  # type: ignore[arg-type]


async def test_a_statement_of_a_terminated_backend_is_unavailable(own_url: str, watched: Database) -> None:
    running = asyncio.ensure_future(sleep_in(watched, statement := "SELECT pg_sleep(121)"))
    killer = await asyncpg.connect(driver_address(own_url))
    async with asyncio.timeout(GIVE_UP_S):
        while not await killer.fetchval(
            "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = $1", statement
        ):
            await asyncio.sleep(0.1)
        with pytest.raises(DatabaseUnavailable):
            await running
        assert await watched.revision() is not None
    await killer.close()


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("got result for unknown protocol state 3"),
        asyncpg.exceptions.ProtocolError("unexpected message"),
        asyncpg.InvalidCachedStatementError("cached statement plan is invalid"),
        asyncpg.InternalServerError("cache lookup failed"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.TooManyConnectionsError("too many clients"),
        asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in a read-only transaction"),
        asyncpg.InvalidSQLStatementNameError("prepared statement does not exist"),
        asyncpg.IdleInTransactionSessionTimeoutError("terminating connection"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        ConnectionResetError("reset"),
        TimeoutError(),
    ],
)
def test_errors_of_a_server_that_restarts_are_unavailable(error: Exception) -> None:
    with pytest.raises(DatabaseUnavailable) as raised, translate_errors():
        raise error
    assert raised.value.retry_after_s == 1


@pytest.mark.parametrize("error", [asyncpg.PostgresSyntaxError("x"), asyncpg.UniqueViolationError("x"), KeyError("x")])
def test_our_own_mistakes_are_not_called_unavailable(error: Exception) -> None:
    with pytest.raises(type(error)), translate_errors():
        raise error


async def test_connections_over_tcp_are_probed_by_the_kernel(own_url: str) -> None:
    """Through a forwarder, since the embedded server listens on no address."""
    path = f"{asyncpg_directory(own_url)}/.s.PGSQL.5432"

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    forwarder = await asyncio.start_server(forward, "127.0.0.1", 0)
    port = forwarder.sockets[0].getsockname()[1]
    connection = await connect(host="127.0.0.1", port=port, user="postgres", database="vultus", ssl=False)
    connected = connection._transport.get_extra_info("socket")
    assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
    await connection.close()
    forwarder.close()


def asyncpg_directory(url: str) -> str:
    return str(driver_address(url).partition("host=")[2].partition("&")[0]).replace("%2F", "/")


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
