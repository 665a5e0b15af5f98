"""Refuse clients before a listener is closed, without cutting off those that the kernel has connected."""

import errno
import select
import socket
import sys

import pytest

from app.server.drain import _refuse_clients

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters packets")


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_waiting_client_is_served_and_a_later_one_is_refused(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family) as listener, socket.socket(family) as waiting, socket.socket(family) as late:
        listener.bind((address, 0))
        listener.listen(8)
        where = listener.getsockname()
        waiting.connect(where)
        _refuse_clients([listener])
        late.setblocking(False)
        with pytest.raises(BlockingIOError):
            late.connect(where)

        accepted, _ = listener.accept()
        waiting.sendall(b"question")
        assert accepted.recv(8) == b"question"
        accepted.sendall(b"answer")
        assert waiting.recv(6) == b"answer"
        accepted.close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):  # the later client was not connected
            listener.accept()

        listener.close()
        select.select([], [late], [], 30)
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
