"""A real S3 server for tests: SeaweedFS as one process, with credentials and one bucket."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.servers import free_port

BUCKET = "waiting"
REGION = "us-east-1"
ACCESS_KEY_ID, SECRET_ACCESS_KEY = "spool", "the secret of the tests' spool"
_START_TIMEOUT_S = 60
_PARTS = ("master", "volume", "filer", "s3")
_OPTIONS = (
    "-filer",
    "-s3",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-master.telemetry=false",
    "-master.resumeState=false",
    "-master.electionTimeout=1s",
    "-master.volumeSizeLimitMB=64",
    "-volume.preStopSeconds=0",
)


class SeaweedFS:
    """A server on free ports; `stop` and `start` it again, and its objects are still there."""

    def __init__(self, directory: Path, address: str = "127.0.0.1") -> None:
        self._directory = directory
        self._address = address
        self._ports = {f"{part}.port{kind}": free_port() for part in _PARTS for kind in ("", ".grpc")}
        self._process: subprocess.Popen[bytes] | None = None
        identity = {
            "name": "spool",
            "credentials": [{"accessKey": ACCESS_KEY_ID, "secretKey": SECRET_ACCESS_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        self._logins = directory / "logins.json"
        self._logins.write_text(json.dumps({"identities": [identity]}))

    @property
    def endpoint(self) -> str:
        return f"http://{self._address}:{self._ports['s3.port']}"

    def settings(self, prefix: str) -> dict[str, str]:
        """Return the settings of a service whose photos wait below the prefix."""
        return {
            "photo_store": f"s3://{BUCKET}/{prefix}",
            "photo_store_endpoint": self.endpoint,
            "photo_store_region": REGION,
            "photo_store_access_key_id": ACCESS_KEY_ID,
            "photo_store_secret_access_key": SECRET_ACCESS_KEY,
        }

    def start(self) -> None:
        """Start the server, and wait until the bucket can be used."""
        options = [
            f"-dir={self._directory}",
            f"-ip={self._address}",
            f"-ip.bind={self._address}",
            f"-s3.config={self._logins}",
            *(f"-{name}={port}" for name, port in self._ports.items()),
        ]
        command = [str(Path(sys.executable).parent / "weed"), "-logtostderr", "server", *_OPTIONS, *options]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._is_ready():
            assert self._process.poll() is None, "SeaweedFS ended"
            assert time.monotonic() < deadline, "SeaweedFS did not become ready"
            time.sleep(0.1)

    def stop(self) -> None:
        """Kill the server: its connections end at once, as when its host is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None
        for name, port in self._ports.items():  # the server leaves its sockets in a directory that cannot be chosen
            kind = name.replace(".port", "").replace(".", "-")
            Path(f"/tmp/seaweedfs-{kind}-{port}.sock").unlink(missing_ok=True)

    @contextmanager
    def client(self, retries: int = 0) -> Iterator[Any]:
        """Open a client of the server for the block."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(retries={"max_attempts": retries}, connect_timeout=5, read_timeout=10),
        )
        try:
            yield client
        finally:
            client.close()

    def keys(self, prefix: str = "") -> list[str]:
        """List the keys of all objects below a prefix; tests have few."""
        with self.client() as client:
            return [one["Key"] for one in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]

    def read(self, key: str) -> bytes:
        with self.client() as client:
            content: bytes = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            return content

    def write(self, key: str, content: bytes) -> None:
        with self.client() as client:
            client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def _is_ready(self) -> bool:
        """Return whether an object can be written: the server listens before its volumes are known."""
        with self.client() as client, suppress(BotoCoreError, ClientError):
            if BUCKET not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"1")
            client.delete_object(Bucket=BUCKET, Key="ready")
            return True
        return False


@contextmanager
def serving_objects(directory: Path, address: str = "127.0.0.1") -> Iterator[SeaweedFS]:
    """Run a server for the block."""
    server = SeaweedFS(directory, address)
    try:
        server.start()
        yield server
    finally:
        server.stop()
