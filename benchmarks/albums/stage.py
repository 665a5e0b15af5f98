"""What the parts share: a database, servers, workers as processes, tenants, photos and a queue full of them."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from app.persistence.object_address import ObjectAddress
from app.persistence.photo_spool import PhotoSpool
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.security.keyring import Keyring
from app.security.photo_encryption import PhotoCipher
from benchmarks.photos import make_photos
from benchmarks.serving import sign_up, started_server

SECRET = "a secret of this benchmark only, 32 bytes or more"
MOSAICS = 48
CONNECTIONS = 4
_RATES = dict.fromkeys(("register", "recognize", "delete", "read", "embeddings"), "10000000/minute")
_GIVE_UP_S = 400


@dataclass(frozen=True)
class Inputs:
    """LFW's photos and a model pack; without them, drawn people and the synthetic pack."""

    photos: Path | None
    pack: Path | None

    @property
    def pack_name(self) -> str:
        return self.pack.name if self.pack else "synthetic"


@dataclass(frozen=True)
class Tenant:
    """A tenant's id, and the headers of its admin."""

    id: UUID
    headers: dict[str, str]


class Stage:
    """One database and data directory, until `end`."""

    def __init__(self, directory: Path, inputs: Inputs) -> None:
        self.directory = directory
        self.inputs = inputs
        self._postgres = EmbeddedPostgres(directory)
        self._postgres.start()
        self.admin = asyncio.run(self._postgres.ensure_database())
        migrate(self.admin)
        self.env = {
            "VULTUS_DATA_DIR": str(directory),
            "VULTUS_SECRET_KEY": SECRET,
            "VULTUS_LOG_LEVEL": "error",
            "VULTUS_MODEL_PACK": str(inputs.pack.resolve()) if inputs.pack else "synthetic",
            "VULTUS_ALBUM_WORKER": "false",
        }
        self.mosaics = make_photos("group", inputs.photos, MOSAICS)

    def end(self) -> None:
        self._postgres.stop()

    @contextmanager
    def serving(self, **env: str) -> Iterator[str]:
        """Run a server during the block; yields the address of its API."""
        with started_server(self.directory, workers=1, **{**self.env, **env}) as (base, _):
            yield f"{base}/api/v1"

    @contextmanager
    def working(self, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run `vultus worker` during the block."""
        command = [str(Path(sys.executable).parent / "vultus"), "worker", *options]
        process = subprocess.Popen(command, env={**os.environ, **self.env}, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)

    def new_tenant(self, api: str) -> Tenant:
        headers = sign_up(api, self.admin, _RATES)
        tenant_id = self.ask("SELECT id FROM tenants ORDER BY created_at DESC LIMIT 1")[0]["id"]
        return Tenant(UUID(str(tenant_id)), headers)

    def new_album(self, api: str, tenant: Tenant) -> str:
        name = f"album-{uuid4().hex[:8]}"
        httpx.post(f"{api}/albums", headers=tenant.headers, json={"id": name}).raise_for_status()
        return name

    def send(self, api: str, tenant: Tenant, album: str, count: int) -> None:
        """Send mosaics over a few connections."""
        with httpx.Client(base_url=api, headers=tenant.headers, timeout=60) as client:

            def put(number: int) -> None:
                files = {"image": ("a.jpg", self.mosaics[number % MOSAICS], "image/jpeg")}
                client.put(f"/albums/{album}/photos/{uuid4().hex}", files=files).raise_for_status()

            with ThreadPoolExecutor(CONNECTIONS) as pool:
                list(pool.map(put, range(count)))

    def fill(self, api: str, tenant: Tenant, album: str, count: int, *, with_objects: int) -> None:
        """Let photos wait, as if they had been sent; only the first ones have a picture in the spool."""
        asyncio.run(self._fill(tenant, album, count, with_objects))
        self.send(api, tenant, album, 1)  # which begins the tenant's turn

    async def _fill(self, tenant: Tenant, album: str, count: int, with_objects: int) -> None:
        spool = PhotoSpool(ObjectAddress(directory=self.directory / "photos"), PhotoCipher(Keyring([SECRET.encode()])))
        ids = [uuid4() for _ in range(count)]
        key_id = ""
        for number, photo_id in enumerate(ids[:with_objects]):
            key_id = await spool.put(tenant.id, photo_id, self.mosaics[number % MOSAICS])
        connection = await asyncpg.connect(self.admin)
        try:
            await connection.execute(
                "INSERT INTO photos (tenant_id, id, collection_id, external_id, key_id) "
                "SELECT $1, one.id, c.id, one.id::text, $3 FROM collections c, unnest($4::uuid[]) WITH ORDINALITY "
                "AS one(id, place) WHERE c.tenant_id = $1 AND c.name = $2 ORDER BY one.place",
                tenant.id,
                album,
                key_id,
                ids,
            )
        finally:
            await connection.close()

    def wait(self, tenant: Tenant) -> None:
        """Wait until no photo of the tenant waits."""
        waiting = "SELECT count(*) FROM photos WHERE tenant_id = $1 AND state IN ('received', 'working')"
        deadline = time.monotonic() + _GIVE_UP_S
        while self.ask(waiting, tenant.id)[0][0]:
            if time.monotonic() > deadline:
                raise SystemExit("the photos are not processed")
            time.sleep(0.2)

    def ask(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement as the owner of the database, and return its rows."""

        async def fetch() -> list[Any]:
            connection = await asyncpg.connect(self.admin)
            try:
                rows: list[Any] = await connection.fetch(statement, *values)
            finally:
                await connection.close()
            return rows

        return asyncio.run(fetch())

    def clear(self, tenant: Tenant) -> None:
        """Forget the waiting photos of a tenant."""
        self.ask("DELETE FROM photos WHERE tenant_id = $1", tenant.id)

    def count_objects(self) -> int:
        return sum(path.is_file() for path in (self.directory / "photos").rglob("*"))
