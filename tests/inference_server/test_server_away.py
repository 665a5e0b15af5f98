"""A Vultus whose networks are elsewhere: what it answers when they are away, and that it comes back by itself."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager

import httpx
import pytest

from app.errors import InferenceUnavailable, OperatorError, PhotoHarmful
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer, client_of
from tests import pictures
from tests.api.conftest import Account, Running, sign_up_at, start
from tests.api.test_videos import ended, named, people
from tests.commands import Commands
from tests.inference_server.servers import TOKEN, serving_inference, settings_of_server
from tests.servers import free_port
from tests.videos import Part, film


@contextmanager
def server_at(settings: Settings, port: int, **env: str) -> Iterator[None]:
    all_env = {**settings_of_server(settings), "VULTUS_INFERENCE_TOKEN": TOKEN, **env}
    with serving_inference(all_env, port=port):
        yield


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def elsewhere(settings: Settings, port: int) -> Settings:
    """Settings of a Vultus whose networks are at this port."""
    return Settings.model_validate(
        {
            **settings.model_dump(),
            "inference_url": f"http://127.0.0.1:{port}",
            "inference_token": TOKEN,
            "inference_timeout_s": 1,
            "inference_probe_s": 0.001,
        }
    )


@pytest.fixture(scope="module")
async def running_elsewhere(elsewhere: Settings) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        yield await start(elsewhere, stack)


@pytest.fixture
async def account(running_elsewhere: Running) -> AsyncIterator[Account]:
    async with AsyncExitStack() as stack:
        yield await sign_up_at(running_elsewhere, stack)


async def readiness(running: Running) -> str:
    async with running.client() as client:
        answer = await client.get("http://vultus/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    inference: str = answer.json()["inference"]
    return inference


async def test_photos_are_answered_503_until_the_server_returns(
    running_elsewhere: Running, account: Account, settings: Settings, port: int
) -> None:
    """It starts without the inference server, which then comes, goes and comes again."""

    async def refused() -> None:
        answer = await account.send("/detect", pictures.photo(1))
        assert (answer.status_code, answer.json()["code"]) == (503, "inference_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await account.client.get("/collections")).status_code == 200
        assert await readiness(running_elsewhere) == "away"

    await refused()
    for seed, subject in enumerate(("ada", "bob")):
        with server_at(settings, port):
            assert await readiness(running_elsewhere) == "ready"
            assert (await account.register(subject, pictures.photo(seed))).status_code == 201
            found = await account.send("/recognize", pictures.photo(seed, 1))
            assert found.status_code == 200, found.text
            assert found.json()["faces"][0]["candidates"][0]["subject"] == subject
        await refused()


async def test_every_kind_of_work_runs_elsewhere(
    running_elsewhere: Running, account: Account, settings: Settings, port: int
) -> None:
    """Registration of all faces, batches, comparisons and albums, by their own routes."""
    photo = pictures.group(1, 2)
    with server_at(settings, port):
        files = {"image": ("a.jpg", photo, "image/jpeg")}
        stored = await account.client.post("/register/all", files=files)
        assert stored.status_code == 201, stored.text
        assert len(stored.json()["stored"]) == 2
        pair = {"source": pictures.photo(1), "target": pictures.photo(1, 1)}
        compared = await account.client.post("/compare", files=pair)
        assert compared.status_code == 200, compared.text
        assert compared.json()["targets"][0]["decision"] == "match"
        several = [("images", (f"{seed}.jpg", pictures.photo(seed))) for seed in range(3)]
        batch = await account.client.post("/extract/batch", files=several)
        assert [len(one["answer"]["faces"]) for one in batch.json()["items"]] == [1, 1, 1]


async def test_people_in_videos_are_found_elsewhere(
    running_elsewhere: Running, account: Account, settings: Settings, port: int
) -> None:
    video = film([Part(1, 0, 2), Part(2, 2, 4)], 4, per_second=4)
    with server_at(settings, port):
        assert (await account.register("ada", pictures.photo(1))).status_code == 201
        assert (await account.client.post("/albums", json={"id": "film", "people": ["default"]})).status_code == 201
        fields, files = {"album": "film", "external_id": "a.mp4", "keep": "crops"}, {"video": ("a.mp4", video)}
        sent = await account.client.post("/videos", data=fields, files=files)
        assert sent.status_code == 202, sent.text
        async with running_elsewhere.state.album_worker.running():
            done = await ended(account, sent.json()["video_id"])
        assert (done["state"], done["code"], done["people"]) == ("done", None, 2), done
        assert set(named(await people(account, done["video_id"]))) == {"ada", None}


async def test_photos_of_albums_wait_until_the_server_returns(
    running_elsewhere: Running, account: Account, settings: Settings, port: int
) -> None:
    assert (await account.client.post("/albums", json={"id": "party", "keep": "crops"})).status_code == 201
    async with running_elsewhere.state.album_worker.running():
        for seed in range(3):
            files = {"image": ("a.jpg", pictures.group(seed, seed + 10), "image/jpeg")}
            sent = await account.client.put(f"/albums/party/photos/{seed}", files=files)
            assert sent.status_code in (201, 202), sent.text
        await asyncio.sleep(3)  # several turns that fail
        waiting = (await account.client.get("/albums/party")).json()["photos"]
        assert (waiting["done"], waiting["failed"]) == (0, 0)
        with server_at(settings, port):
            await _until(lambda: _is_processed(account, 3))
            faces = (await account.client.get("/albums/party")).json()
            assert faces["photos"]["failed"] == 0
            files_of = [("images", ("selfie.jpg", pictures.photo(1)))]
            found = (await account.client.post("/albums/party/search", files=files_of)).json()
            assert [one["external_id"] for one in found["items"]] == ["1"]


async def _is_processed(account: Account, number: int) -> bool:
    counts = (await account.client.get("/albums/party")).json()["photos"]
    return bool(counts["done"] == number)


async def _until(is_so: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 90
    while not await is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


RemoteAt = Callable[..., FaceAnalyzer]


@pytest.fixture
def remote_at(settings: Settings) -> Iterator[RemoteAt]:
    """Makes analyzers whose networks are at a port of this host."""
    with ExitStack() as stack:

        def make(port: int, **changed: object) -> FaceAnalyzer:
            url = f"http://127.0.0.1:{port}"
            values = {**settings.model_dump(), "inference_url": url, "inference_token": TOKEN, **changed}
            analyzer = build_analyzer(Settings.model_validate(values))
            client = client_of(analyzer)
            assert client is not None
            stack.callback(client.close)
            return analyzer

        yield make


def test_another_pack_is_refused_by_both_names(settings: Settings, remote_at: RemoteAt, other_pack: object) -> None:
    port = free_port()
    with server_at(settings, port, VULTUS_MODEL_PACK=str(other_pack)):
        here = remote_at(port)
        with pytest.raises(OperatorError) as refusal:
            here.warm_up()
        theirs = remote_at(port, model_pack=str(other_pack)).engine.info
        for info in (here.engine.info, theirs):
            assert f"recognizer {info.recognizer}, digest {info.digest}" in str(refusal.value)
        with pytest.raises(InferenceUnavailable):
            here.analyze(pictures.photo(1), Embed.ALL)
        missing = remote_at(port, model_pack=str(other_pack), extra_model_packs=[settings.model_pack])
        with pytest.raises(OperatorError, match="lacks the recognizers of synthetic"):
            missing.warm_up()


@pytest.mark.parametrize(
    ("changed", "status", "found"),
    [
        ({}, "ok", "version "),
        ({"VULTUS_DETECTION_THRESHOLD": "0.7"}, "failed", "VULTUS_DETECTION_THRESHOLD=0.5"),
        ({"VULTUS_INFERENCE_TOKEN": "x" + TOKEN}, "failed", "status 401"),
    ],
)
def test_doctor_checks_the_server(
    commands: Commands, settings: Settings, server: str, changed: dict[str, str], status: str, found: str
) -> None:
    env = {
        **settings_of_server(settings),
        "VULTUS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "VULTUS_INFERENCE_URL": server,
        "VULTUS_INFERENCE_TOKEN": TOKEN,
        **changed,
    }
    rows = json.loads(commands.run("doctor", "--json", env=env).stdout)
    (row,) = (row for row in rows if row["check"] == "inference server")
    assert row["status"] == status
    assert found in row["found"]


def test_serve_refuses_another_server_in_one_line(commands: Commands, settings: Settings, server: str) -> None:
    assert settings.database_url is not None
    env = {
        **settings_of_server(settings),
        "VULTUS_DATABASE_URL": settings.database_url.get_secret_value(),
        "VULTUS_DETECTION_THRESHOLD": "0.7",
        "VULTUS_INFERENCE_URL": server,
        "VULTUS_INFERENCE_TOKEN": TOKEN,
    }
    done = commands.run("serve", "--port", str(free_port()), env=env)
    assert done.returncode == 1
    assert done.stderr.startswith(f"vultus: The inference server at {server} has VULTUS_DETECTION_THRESHOLD=0.5")
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_token_is_no_error_of_the_photo(remote_at: RemoteAt, server: str) -> None:
    analyzer = remote_at(int(server.rpartition(":")[2]), inference_token="x" + TOKEN)
    with pytest.raises(InferenceUnavailable, match="401"):
        analyzer.analyze(pictures.photo(1), Embed.ALL)


@contextmanager
def answering(answer: bytes, info: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """A server that reads each call and answers with these bytes, then closes the connection; `info` is for others."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    calls: list[bytes] = []
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    is_call = _read_request(connection)
                    calls.extend([b"call"] if is_call else [])
                    connection.sendall(answer if is_call else info)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], calls
    finally:
        is_over.set()
        thread.join()
        listener.close()


def _read_request(connection: socket.socket) -> bool:
    """Whether the request is a call with photos."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return head.startswith(b"POST")


OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def test_a_busy_server_is_asked_again_and_then_given_up(remote_at: RemoteAt) -> None:
    with answering(BUSY) as (port, requests):
        analyzer = remote_at(port, inference_timeout_s=1)
        with pytest.raises(InferenceUnavailable, match="503"):
            analyzer.analyze(pictures.photo(1), Embed.ALL)
        assert len(requests) > 1


def test_a_server_that_asks_for_more_time_than_there_is_is_not_asked_again(remote_at: RemoteAt) -> None:
    with answering(BUSY.replace(b"retry-after: 0", b"retry-after: 60")) as (port, requests):
        analyzer = remote_at(port, inference_timeout_s=2)
        with pytest.raises(InferenceUnavailable) as refusal:
            analyzer.analyze(pictures.photo(1), Embed.ALL)
        assert len(requests) == 1
        assert refusal.value.retry_after_s == 60


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"detection_threshold": 0.6}, "VULTUS_DETECTION_THRESHOLD=0.6"),
        ({"max_image_bytes": 1000}, "VULTUS_MAX_IMAGE_BYTES=1000"),
        ({"max_image_pixels": 1000}, "VULTUS_MAX_IMAGE_PIXELS=1000"),
        ({"max_faces": 7}, "VULTUS_MAX_FACES_PER_IMAGE=7"),
    ],
)
def test_other_settings_are_refused(remote_at: RemoteAt, server: str, changed: dict[str, float], named: str) -> None:
    info = httpx.get(f"{server}/info", headers={"authorization": f"Bearer {TOKEN}"}).json()
    for part in (info, info["limits"]):
        part.update({name: value for name, value in changed.items() if name in part})
    content = json.dumps(info).encode()
    with answering(b"", info=OK % (len(content), content)) as (port, _), pytest.raises(OperatorError, match=named):
        remote_at(port).warm_up()


def test_a_photo_that_always_breaks_the_connection_is_refused(remote_at: RemoteAt, server: str) -> None:
    content = httpx.get(f"{server}/info", headers={"authorization": f"Bearer {TOKEN}"}).content
    with answering(b"", info=OK % (len(content), content)) as (port, calls):
        with pytest.raises(PhotoHarmful):
            remote_at(port).analyze(pictures.photo(1), Embed.ALL)
        assert len(calls) == 4  # once as any call, and three times as the only photo


def test_a_server_that_breaks_every_connection_is_unavailable(remote_at: RemoteAt) -> None:
    with answering(b"") as (port, calls):
        with pytest.raises(InferenceUnavailable):
            remote_at(port, inference_timeout_s=1).analyze(pictures.photo(1), Embed.ALL)
        assert len(calls) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", b'{"digest": "x", "photos": []}', b'{"digest": "x", "photos": [{}]}'],
)
def test_an_answer_that_is_none_is_an_unavailable_server(remote_at: RemoteAt, content: bytes) -> None:
    answer = OK % (len(content), content)
    with answering(answer) as (port, _), pytest.raises(InferenceUnavailable):
        remote_at(port).analyze(pictures.photo(1), Embed.ALL)


def test_a_redirect_is_not_followed(remote_at: RemoteAt, server: str) -> None:
    answer = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: %b/extract\r\ncontent-length: 0\r\n\r\n" % server.encode()
    with answering(answer) as (port, _), pytest.raises(InferenceUnavailable, match="307"):
        remote_at(port).analyze(pictures.photo(1), Embed.ALL)


@pytest.mark.parametrize(
    ("url", "is_unencrypted"),
    [
        ("http://gpu.example:8100", True),
        ("http://10.0.0.5:8100", True),
        ("https://gpu.example:8100", False),
        ("http://127.0.0.1:8100", False),
        ("http://[::1]:8100", False),
        ("http://localhost:8100", False),
    ],
)
def test_photos_in_the_clear_are_noticed(remote_at: RemoteAt, url: str, is_unencrypted: bool) -> None:
    client = client_of(remote_at(1, inference_url=url))
    assert client is not None
    assert client.is_unencrypted is is_unencrypted
