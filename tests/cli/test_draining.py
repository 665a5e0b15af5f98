"""A server that is stopped under load answers what it took, and takes no more than it answers."""

import asyncio
import signal

import httpx
import pytest
from structlog.testing import capture_logs

from app.server.descriptors import log_exhaustion_once
from tests.cli.test_serve import service_env
from tests.servers import serving

__all__ = ["service_env"]

CLIENTS = 12


@pytest.mark.parametrize(("workers", "most_cut_off"), [(1, 0), (2, CLIENTS // 4)])
async def test_no_answer_is_cut_off_by_a_stop(workers: int, most_cut_off: int, service_env: dict[str, str]) -> None:
    """Two workers may still lose a client that the kernel takes in the moment of the last close, but not every one."""
    with serving(workers, **service_env) as (base, process):
        answers: list[int] = []
        unready: list[int] = []
        cut_off: list[httpx.TransportError] = []

        async def ask() -> None:
            """Send request after request over kept connections until the server takes no more."""
            async with httpx.AsyncClient(base_url=base, timeout=60) as client:
                while True:
                    try:
                        answers.append((await client.get("/healthz")).status_code)
                        unready.append((await client.get("/readyz")).status_code)
                    except httpx.ConnectError:
                        return
                    except httpx.TransportError as exc:
                        cut_off.append(exc)

        asking = [asyncio.create_task(ask()) for _ in range(CLIENTS)]
        while len(answers) < 5 * CLIENTS:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(*asking)
        assert len(cut_off) <= most_cut_off, cut_off
        assert set(answers) == {200}
        assert set(unready) == {200, 503}
        assert await asyncio.to_thread(process.wait, 40) in (0, -signal.SIGTERM)


async def test_a_kept_connection_is_closed_after_its_last_answer(service_env: dict[str, str]) -> None:
    with serving(1, **service_env) as (base, process):
        async with httpx.AsyncClient(base_url=base, timeout=60) as client:
            assert "connection" not in (await client.get("/healthz")).headers
            process.send_signal(signal.SIGTERM)
            while "connection" not in (answer := await client.get("/healthz")).headers:
                await asyncio.sleep(0.01)
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")


@pytest.mark.parametrize("code", [23, 24])
async def test_a_lack_of_descriptors_is_logged_once(code: int) -> None:
    loop = asyncio.new_event_loop()
    log_exhaustion_once(loop)
    with capture_logs() as logs:
        for _ in range(100):
            loop.call_exception_handler({"message": "socket.accept()", "exception": OSError(code, "too many files")})
    loop.close()
    assert [line["event"] for line in logs] == ["clients_not_accepted"]
