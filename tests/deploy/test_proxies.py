"""nginx and Caddy, with the files of `deploy/`, in front of a real server: large photos, streams, addresses, limits."""

import io
import json
import random
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import boto3
import httpx
import pytest
from botocore.config import Config
from PIL import Image

from tests import pictures
from tests.deploy.proxies import NAME, PROXIES
from tests.servers import serving

PASSWORD = "correct horse battery"
_SETTINGS = {
    "VULTUS_TRUSTED_PROXIES": "127.0.0.1",
    "VULTUS_PUBLIC_RATE": "6/minute",
    "VULTUS_METRICS_TOKEN": "a token for tests only, 32 bytes or more",
    "VULTUS_ALBUM_WORKER": "true",
    "VULTUS_BODY_TIMEOUT_S": "3",
    "VULTUS_LOG_LEVEL": "error",
}


@dataclass
class Proxy:
    """A proxy in front of a server, with a signed-in client of it."""

    base: str
    trust: ssl.SSLContext
    client: httpx.Client
    certificate: Path
    upstream: str

    def from_address(self, address: str) -> httpx.Client:
        """Return a client whose connections come from another address of this machine."""
        transport = httpx.HTTPTransport(verify=self.trust, local_address=address)
        return httpx.Client(base_url=f"{self.base}/api/v1", transport=transport)


@pytest.fixture(scope="module", params=PROXIES)
def proxy(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    data_dir: Path,
    service_url: str,
    synthetic_pack: Path,
) -> Iterator[Proxy]:
    env = {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": service_url,
        "VULTUS_MODEL_PACK": str(synthetic_pack),
        "VULTUS_SECRET_KEY": "a secret for tests only, 32 bytes or more",
        **_SETTINGS,
    }
    directory = tmp_path_factory.mktemp(request.param)
    front = PROXIES[request.param]
    with (
        serving(**env) as (upstream, _),
        front(upstream.removeprefix("http://"), directory) as (base, trust),
        httpx.Client(base_url=f"{base}/api/v1", verify=trust, timeout=60) as client,
    ):
        login = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
        created = client.post("/auth/signup", json={"tenant": "Acme", **login})
        assert created.status_code == 201, created.text
        tokens = client.post("/auth/token", data={"username": login["email"], "password": PASSWORD}).json()
        client.headers["authorization"] = f"Bearer {tokens['access_token']}"
        yield Proxy(base, trust, client, directory / "certificate.pem", upstream)


def large_photo() -> bytes:
    """A photo of one drawn person that takes 10 MB: pixels without compression."""
    drawn = pictures.portrait(1, side=1840)
    buffer = io.BytesIO()
    drawn.convert("RGB").resize((1840, 1840), Image.Resampling.NEAREST).save(buffer, "BMP")
    assert buffer.tell() > 10_000_000
    return buffer.getvalue()


def test_photos_of_ten_megabytes_pass(proxy: Proxy) -> None:
    photo = large_photo()
    sent = proxy.client.post("/register", data={"subject": "ada"}, files={"images": ("ada.bmp", photo)})
    assert sent.status_code == 201, sent.text
    found = proxy.client.post("/recognize", files={"image": ("ada.bmp", photo)})
    assert found.status_code == 200, found.text
    assert found.json()["faces"][0]["candidates"][0]["subject"] == "ada"


def test_a_body_that_is_too_large_is_refused_by_the_service_with_a_code(proxy: Proxy) -> None:
    body = b"0" * (64 * 1024 * 1024 + 1000)
    refused = proxy.client.post("/recognize", files={"image": ("zeros.jpg", body)})
    assert (refused.status_code, refused.json()["code"]) == (413, "request_too_large")


def test_a_body_that_says_it_is_too_large_is_refused_before_it_has_arrived(proxy: Proxy) -> None:
    head = (
        f"POST /api/v1/recognize HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: {proxy.client.headers['authorization']}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {10**9}\r\n\r\n"
    )
    with (
        socket.create_connection((NAME, httpx.URL(proxy.base).port or 443), timeout=30) as plain,
        proxy.trust.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        connection.sendall(head.encode())
        connection.settimeout(0.1)
        answer = b""
        for _ in range(300):  # at most 20 MB of the billion bytes
            with suppress(OSError):  # also a connection that is closed behind the answer
                connection.send(b"0" * 65536)
            with suppress(TimeoutError):
                answer = connection.recv(1000)
                break
    assert answer.split(b" ")[1] == b"413"


def test_an_upload_that_stalls_is_ended(proxy: Proxy) -> None:
    head = (
        f"POST /api/v1/recognize HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: {proxy.client.headers['authorization']}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5000000\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    )
    with (
        socket.create_connection((NAME, httpx.URL(proxy.base).port or 443), timeout=30) as plain,
        proxy.trust.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        connection.sendall(head.encode() + b"0" * 65536)
        connection.settimeout(5)
        answer = b""
        for _ in range(6):  # Caddy passes the answer on when the client moves again
            with suppress(TimeoutError):
                answer = connection.recv(1000)
                break
            with suppress(OSError):
                connection.send(b"0")
    assert answer.split(b" ")[1] == b"408"


def test_events_are_streamed_as_they_happen(proxy: Proxy) -> None:
    assert proxy.client.post("/albums", json={"id": "party"}).status_code == 201
    counts = []
    with proxy.client.stream("GET", "/albums/party/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if not line.startswith("data: "):
                continue
            photos = json.loads(line.removeprefix("data: ")).get("photos", {})
            counts.append(photos.get("done"))
            if len(counts) == 1:  # it came although nothing more was written yet
                sent = httpx.put(
                    f"{proxy.base}/api/v1/albums/party/photos/1",
                    files={"image": ("1.jpg", pictures.photo(2))},
                    headers={"authorization": proxy.client.headers["authorization"]},
                    verify=proxy.trust,
                )
                assert sent.status_code == 202, sent.text
            elif photos.get("done") == 1:
                break
    assert counts[0] == 0
    assert counts[-1] == 1


def test_limits_count_the_client_and_not_what_it_says_of_itself(proxy: Proxy) -> None:
    form = {"username": f"{uuid4().hex}@example.com", "password": "wrong wrong wrong"}
    first, second = (f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{last}" for last in (2, 3))
    with proxy.from_address(first) as one, proxy.from_address(second) as other:
        statuses = [
            one.post("/auth/token", data=form, headers={"x-forwarded-for": f"198.51.100.{number}"}).status_code
            for number in range(8)
        ]
        assert statuses.count(429) >= 2
        assert statuses[0] == 401
        assert other.post("/auth/token", data=form).status_code == 401


def test_the_clients_of_rekognition_sign_the_address_that_they_use(proxy: Proxy) -> None:
    issued = proxy.client.post("/access-keys", json={"scopes": ["register", "recognize", "admin"]})
    assert issued.status_code == 201, issued.text
    made = boto3.client(
        "rekognition",
        endpoint_url=f"{proxy.base}/rekognition",
        region_name="eu-west-1",
        aws_access_key_id=issued.json()["access_key_id"],
        aws_secret_access_key=issued.json()["secret_access_key"],
        verify=str(proxy.certificate),
        config=Config(retries={"max_attempts": 0}),
    )
    try:
        assert made.create_collection(CollectionId="staff")["StatusCode"] == 200
        assert "staff" in made.list_collections()["CollectionIds"]
    finally:
        made.close()


def test_metrics_are_not_served_to_the_outside(proxy: Proxy) -> None:
    headers = {"authorization": f"Bearer {_SETTINGS['VULTUS_METRICS_TOKEN']}"}
    assert httpx.get(f"{proxy.upstream}/metrics", headers=headers).status_code == 200
    assert httpx.get(f"{proxy.base}/metrics", headers=headers, verify=proxy.trust).status_code == 404


def test_docs_and_readiness_are_reached(proxy: Proxy) -> None:
    for path in ("/readyz", "/docs", "/openapi.json"):
        assert httpx.get(f"{proxy.base}{path}", verify=proxy.trust).status_code == 200
