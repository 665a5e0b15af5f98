"""`vultus serve` as a process: several workers on one database, started, used and ended from outside."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psutil
import pytest

from app.permissions import Plan
from app.persistence.connections.database import Database
from app.persistence.repositories.tenants import PlanDirectory, TenantDirectory
from app.persistence.repositories.usage_days import UsageDayRepository
from tests import pictures
from tests.servers import free_port, listening, serving


@pytest.fixture
def service_env(data_dir: Path, service_url: str, synthetic_pack: Path) -> dict[str, str]:
    return {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": service_url,
        "VULTUS_MODEL_PACK": str(synthetic_pack),
        "VULTUS_PUBLIC_RATE": "100000/minute",
        "VULTUS_LOG_LEVEL": "warning",
    }


def sign_up(api: str) -> tuple[str, dict[str, str]]:
    """A new tenant's id, and headers to call as its admin."""
    email = f"{uuid4().hex}@example.com"
    body = {"tenant": "Acme", "email": email, "password": "correct horse"}
    created = httpx.post(f"{api}/auth/signup", json=body)
    assert created.status_code == 201, created.text
    form = {"username": email, "password": "correct horse"}
    token = httpx.post(f"{api}/auth/token", data=form).json()["access_token"]
    return created.json()["tenant_id"], {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("workers", [1, 2])
def test_what_one_worker_stores_every_worker_finds(workers: int, service_env: dict[str, str]) -> None:
    with serving(workers, **service_env) as (base, process):
        api = f"{base}/api/v1"
        _, headers = sign_up(api)
        files = {"images": ("a.jpg", pictures.photo(1), "image/jpeg")}
        registered = httpx.post(f"{api}/register", headers=headers, data={"subject": "ada"}, files=files)
        assert registered.status_code == 201, registered.text
        for take in range(4 * workers):
            photo = {"image": ("a.jpg", pictures.photo(1, take % 3), "image/jpeg")}
            found = httpx.post(f"{api}/recognize", headers=headers, files=photo).json()
            assert found["faces"][0]["candidates"][0]["subject"] == "ada"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) in (0, -signal.SIGTERM)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_a_worker_that_dies_is_replaced_by_one_that_inherits_the_networks(service_env: dict[str, str]) -> None:
    with serving(2, **service_env) as (base, process):
        _, headers = sign_up(f"{base}/api/v1")
        supervisor = psutil.Process(process.pid)
        before = {worker.pid for worker in supervisor.children()}
        assert len(before) == 2  # no keeper: the service's login may not build indexes
        os.kill(min(before), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while len({worker.pid for worker in supervisor.children() if worker.status() != psutil.STATUS_ZOMBIE}) < 2:
            assert time.monotonic() < deadline, "the worker was not replaced"
            time.sleep(0.1)
        for take in range(12):
            photo = {"image": ("a.jpg", pictures.photo(1, take % 3), "image/jpeg")}
            answer = httpx.post(f"{base}/api/v1/detect", headers=headers, files=photo, timeout=30)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["faces"]) == 1
        # What they were forked with they share: a good part of each lies in pages that others have too.
        shared = [memory.rss - memory.uss for memory in (worker.memory_full_info() for worker in supervisor.children())]
        assert min(shared) > 60 * 2**20


def test_what_several_workers_counted_adds_up(service_env: dict[str, str], database_url: str) -> None:
    token = "a token for the tests' metrics, 32 bytes"
    with serving(2, **service_env, VULTUS_METRICS_TOKEN=token) as (base, process):
        tenant_id, headers = sign_up(f"{base}/api/v1")
        for take in range(12):
            photo = {"image": ("a.jpg", pictures.photo(1, take % 3), "image/jpeg")}
            assert httpx.post(f"{base}/api/v1/detect", headers=headers, files=photo, timeout=30).status_code == 200
        metrics = httpx.get(f"{base}/metrics", headers={"authorization": f"Bearer {token}"}).text
        assert 'vultus_requests_total{method="POST",route="/api/v1/detect",status="200"} 12.0' in metrics
        assert tenant_id not in metrics
        process.send_signal(signal.SIGTERM)  # before the second is over in which they add up
        process.wait(timeout=40)

    async def counted() -> dict[str, tuple[int, int]]:
        database = Database(database_url, pool_size=1)
        today = datetime.now(UTC).date()
        async with database.transaction(UUID(tenant_id)) as session:
            days = await UsageDayRepository(session, UUID(tenant_id)).list_days(today, today + timedelta(days=1))
        await database.close()
        return {key.operation: (count.calls, count.images) for key, count in days.items()}

    assert asyncio.run(counted()) == {"detect": (12, 12)}


async def put_on_plan(database: Database, tenant_id: str, **rates: str) -> None:
    plan = Plan(f"plan-{uuid4().hex}", {"read": "100000/minute", "admin": "1000/minute", **rates})
    async with database.transaction(as_operator=True) as session:
        await PlanDirectory(session).save(plan)
        await TenantDirectory(session).set_plan(UUID(tenant_id), plan.name)


@contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    with listening(command, port):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.mark.parametrize("counters", ["postgresql", "redis"])
def test_four_workers_admit_exactly_the_rate_and_forget_a_session_at_once(
    counters: str, service_env: dict[str, str], database: Database, tmp_path: Path
) -> None:
    if counters == "redis" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with ExitStack() as stack:
        if counters == "redis":
            service_env["VULTUS_REDIS_URL"] = stack.enter_context(redis_server(tmp_path))
        base, _ = stack.enter_context(serving(4, **service_env))
        api = f"{base}/api/v1"
        tenant_id, headers = sign_up(api)

        async def flood() -> tuple[list[int], list[int]]:
            # The test's own pool belongs to another event loop.
            own = Database(
                database.engine.url.render_as_string(hide_password=False).replace("+asyncpg", ""), pool_size=1
            )
            await put_on_plan(own, tenant_id, recognize="20/minute")
            await own.close()
            limits = httpx.Limits(max_connections=40, max_keepalive_connections=0)  # a new worker for each
            async with httpx.AsyncClient(headers=headers, limits=limits, timeout=30) as client:
                empty = {"content-type": "multipart/form-data; boundary=x"}
                calls = (client.post(f"{api}/detect", content=b"--x--\r\n", headers=empty) for _ in range(60))
                admitted = [answer.status_code for answer in await asyncio.gather(*calls)]
                assert (await client.post(f"{api}/auth/logout")).status_code == 204
                later = await asyncio.gather(*(client.get(f"{api}/auth/me") for _ in range(24)))
                return admitted, [answer.status_code for answer in later]

        admitted, later = asyncio.run(flood())
    assert sorted(admitted) == [422] * 20 + [429] * 40
    assert set(later) == {401}


def test_slow_headers_and_malformed_requests_are_answered_and_closed(service_env: dict[str, str]) -> None:
    with serving(1, **service_env, VULTUS_HEADER_TIMEOUT_S="1", VULTUS_BODY_TIMEOUT_S="2") as (base, _):
        address = ("127.0.0.1", int(base.rsplit(":", 1)[1]))
        for sent in (b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "):
            with socket.create_connection(address, timeout=30) as slow:
                slow.sendall(sent)
                assert slow.recv(1) == b""  # closed by the server
        with socket.create_connection(address, timeout=30) as odd:
            odd.sendall(b"GET \xff HTTP/1.1\r\n\r\n")
            answer = b"".join(iter(lambda: odd.recv(65536), b""))
            assert b"application/problem+json" in answer
            assert b"malformed_http" in answer
        with socket.create_connection(address, timeout=30) as answered:  # but its body never comes
            answered.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
            assert b'"ok"' in b"".join(iter(lambda: answered.recv(65536), b""))  # answered, then closed
        with socket.create_connection(address, timeout=60) as dribbling:
            head = b"POST /api/v1/auth/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            dribbling.sendall(head + b"Content-Length: 60000\r\n\r\n")
            dribbling.settimeout(0.1)
            answer = b""
            with suppress(ConnectionError):  # the server closes with our bytes unread
                for _ in range(300):
                    if not answer:
                        dribbling.sendall(b" ")
                    with suppress(TimeoutError):
                        piece = dribbling.recv(65536)
                        answer += piece
                        if not piece:  # head and body may come as two pieces: read until it closes
                            break
            assert b"request_timeout" in answer
        with httpx.Client(base_url=base) as kept:  # a connection between two requests is not slow
            assert kept.get("/healthz").status_code == 200
            time.sleep(1.5)
            assert kept.get("/healthz").status_code == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_an_embedded_database_is_started_and_stopped_with_the_server(
    workers: int, tmp_path: Path, synthetic_pack: Path
) -> None:
    env = {"VULTUS_DATA_DIR": str(tmp_path / "data"), "VULTUS_MODEL_PACK": str(synthetic_pack)}
    pid_file = tmp_path / "data" / "postgres" / "postmaster.pid"
    with serving(workers, **env):
        assert pid_file.exists()
        users = tmp_path / "data" / "postgres" / ".handle_pids.json"
        assert len(json.loads(users.read_text())) == 1
    assert not pid_file.exists()
