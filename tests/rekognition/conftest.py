"""A real server as a process, tenants with access keys, and unmodified boto3 clients that speak to it."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from tests import pictures
from tests.servers import serving

PASSWORD = "correct horse battery"
REGION = "eu-west-1"


@pytest.fixture(scope="session")
def service_env(data_dir: Path, service_url: str, synthetic_pack: Path) -> dict[str, str]:
    return {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": service_url,
        "VULTUS_MODEL_PACK": str(synthetic_pack),
        "VULTUS_SECRET_KEY": "a secret for tests only, 32 bytes or more",
        "VULTUS_PUBLIC_RATE": "100000/minute",
        "VULTUS_LOG_LEVEL": "error",
        "VULTUS_MAX_IMAGE_PIXELS": "4000000",
        "ORT_DISABLE_TELEMETRY": "1",
    }


@pytest.fixture(scope="session")
def server(service_env: dict[str, str]) -> Iterator[str]:
    with serving(**service_env) as (base, _):
        yield base


@dataclass
class Tenant:
    """A tenant's admin through the native API, and its access key."""

    base: str
    id: str
    native: httpx.Client
    access_key_id: str
    secret: str
    closing: ExitStack

    def client(self, *, path: str = "/rekognition", **options: Any) -> Any:
        """A boto3 client of the tenant, as any program makes one; by default it does not try again."""
        config = Config(**{"retries": {"mode": "standard", "max_attempts": 1}, **options.pop("config", {})})
        made = boto3.client(
            "rekognition",
            **{
                "endpoint_url": self.base + path,
                "region_name": REGION,
                "aws_access_key_id": self.access_key_id,
                "aws_secret_access_key": self.secret,
                "config": config,
                **options,
            },
        )
        self.closing.callback(made.close)
        return made

    def access_key(self, *scopes: str) -> tuple[str, str]:
        answer = self.native.post("/access-keys", json={"scopes": list(scopes)}).raise_for_status().json()
        return answer["access_key_id"], answer["secret_access_key"]


ALL_SCOPES = ("register", "recognize", "delete", "admin")


@contextmanager
def make_tenant(base: str) -> Iterator[Tenant]:
    """A new tenant of a running server; its clients are closed when the block ends."""
    with ExitStack() as closing:
        native = closing.enter_context(httpx.Client(base_url=f"{base}/api/v1", timeout=30))
        yield _sign_up(base, native, closing)


def _sign_up(base: str, native: httpx.Client, closing: ExitStack) -> Tenant:
    email = f"{uuid4().hex}@example.com"
    body = {"tenant": "Acme", "email": email, "password": PASSWORD}
    created = native.post("/auth/signup", json=body).raise_for_status().json()
    token = native.post("/auth/token", data={"username": email, "password": PASSWORD}).raise_for_status().json()
    native.headers["authorization"] = f"Bearer {token['access_token']}"
    tenant = Tenant(base, created["tenant_id"], native, "", "", closing)
    tenant.access_key_id, tenant.secret = tenant.access_key(*ALL_SCOPES)
    return tenant


@pytest.fixture
def tenant(server: str) -> Iterator[Tenant]:
    with make_tenant(server) as made:
        yield made


@pytest.fixture
def stranger(server: str) -> Iterator[Tenant]:
    """Another tenant."""
    with make_tenant(server) as made:
        yield made


@pytest.fixture
def rekognition(tenant: Tenant) -> Any:
    """The tenant's boto3 client."""
    return tenant.client()


@pytest.fixture
def collection(rekognition: Any) -> str:
    rekognition.create_collection(CollectionId="people")
    return "people"


Index = Callable[..., list[str]]


@pytest.fixture
def index(rekognition: Any, collection: str) -> Index:
    """Indexes a photo and gives the ids of its faces."""

    def work(photo: bytes, **more: Any) -> list[str]:
        answer = rekognition.index_faces(CollectionId=collection, Image={"Bytes": photo}, **more)
        return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]

    return work


REDIRECTED: list[str] = []
"""The paths that were asked for there."""


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Sends everybody on to another place, and counts who came to this one."""

    def do_GET(self) -> None:
        REDIRECTED.append(self.path)
        if self.path.startswith("/secret"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(pictures.photo(1))
            return
        self.send_response(307)
        self.send_header("location", "/secret")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[str]:
    """A server that sends everybody on to another place."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """The address of an S3 server with a bucket `photos`."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host if host != '0.0.0.0' else '127.0.0.1'}:{port}"
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="reader",
        aws_secret_access_key="s3 secret",
        config=Config(s3={"addressing_style": "path"}),
    )
    s3.create_bucket(Bucket="photos")
    s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="photos", Key="people/ada löwe+1.jpg", Body=pictures.photo(1))
    s3.put_object(Bucket="photos", Key="versions.jpg", Body=pictures.photo(2))
    s3.put_object(Bucket="photos", Key="versions.jpg", Body=pictures.photo(3))
    s3.put_object(Bucket="photos", Key="large.jpg", Body=b"\0" * (20 * 1024 * 1024 + 1))
    s3.close()
    yield endpoint
    server.stop()


@pytest.fixture(scope="session")
def strict_server(service_env: dict[str, str], bucket: str, elsewhere: str) -> Iterator[str]:
    """One that answers for one region, has place for one photo at a time, and may fetch from two servers."""
    strict = {
        "VULTUS_REKOGNITION_REGION": REGION,
        "VULTUS_OBJECT_STORE_ENDPOINTS": f"{bucket},{elsewhere}",
        "VULTUS_INFERENCE_QUEUE": "0",
        "VULTUS_INFERENCE_THREADS": "1",
    }
    with serving(**service_env, **strict) as (base, _):
        yield base


@pytest.fixture
def strict_tenant(strict_server: str) -> Iterator[Tenant]:
    """A tenant of that server."""
    with make_tenant(strict_server) as made:
        yield made
