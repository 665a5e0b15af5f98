"""The HTTP connection's own settings."""

import asyncio
import socket

from app.server.h11_protocol import disable_nagle


async def test_answers_do_not_wait_for_acknowledgements() -> None:
    """On a socket as uvicorn binds it for several workers, which asyncio alone leaves with Nagle's algorithm."""
    connected: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            connected.set_result(transport)

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    listener.bind(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(Connection, sock=listener)
    _, writer = await asyncio.open_connection(*listener.getsockname())
    async with asyncio.timeout(5):
        transport = await connected
    accepted = transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
    disable_nagle(transport)
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    transport.close()
    writer.close()
    server.close()
