"""Where photos of object stores come from: the endpoint's name is resolved once, and nothing leads elsewhere."""

import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import boto3
import pytest

from app.domain.tenancy import ObjectStore
from app.errors import ObjectStoreUnavailable, ObjectUnavailable
from app.persistence.connections.database import Database
from app.persistence.repositories.object_stores import ObjectStoreRepository
from app.services.audit.trail import AuditTrails
from app.services.photos.object_stores import ObjectFetcher, ObjectStoreService
from tests.integration.conftest import KEYRING, make_tenant
from tests.photo_hosts import LARGE, PHOTO, PhotoHost, serving_photos
from tests.seaweed import ACCESS_KEY_ID, BUCKET, REGION, SECRET_ACCESS_KEY, SeaweedFS, serving_objects
from tests.unit.test_image_urls import Resolver, certificate


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with serving_objects(tmp_path_factory.mktemp("objects")) as server:
        yield server


@pytest.fixture
async def tenant(database: Database) -> UUID:
    tenant_id, _ = await make_tenant(database)
    return tenant_id


class Fetching:
    """Fetches from one endpoint, which the operator lists and a tenant has chosen."""

    def __init__(self, database: Database, tenant_id: UUID, endpoint: str, verify: ssl.SSLContext | bool) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._endpoint = endpoint
        self.fetcher = ObjectFetcher(database, KEYRING, endpoints=[endpoint], max_bytes=LARGE, verify=verify)

    async def __aenter__(self) -> "Fetching":
        async with self._database.transaction(self._tenant_id) as session:
            stores = ObjectStoreRepository(session, self._tenant_id)
            trail = AuditTrails(KEYRING).open(session, self._tenant_id, "test")
            service = ObjectStoreService(stores, KEYRING, trail, endpoints=[self._endpoint])
            await service.put(ObjectStore(self._endpoint, REGION, ACCESS_KEY_ID), SECRET_ACCESS_KEY)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.fetcher.close()

    async def fetch(self, bucket: str, name: str = "") -> bytes:
        return await self.fetcher.fetch(self._tenant_id, bucket, name)


def fetching(database: Database, tenant_id: UUID, endpoint: str, verify: ssl.SSLContext | bool = True) -> Fetching:
    return Fetching(database, tenant_id, endpoint, verify)


@pytest.fixture
async def host() -> AsyncIterator[PhotoHost]:
    with serving_photos() as server:
        yield server


async def test_a_server_that_checks_signatures_accepts_the_name_of_a_pinned_address(
    database: Database, tenant: UUID, objects: SeaweedFS
) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=objects.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
    )
    s3.put_object(Bucket=BUCKET, Key="people/ada löwe+1 ~.jpg", Body=PHOTO)
    s3.close()
    by_name = objects.endpoint.replace("127.0.0.1", "localhost")
    async with fetching(database, tenant, by_name) as one:
        for _ in range(2):  # the second one over the same connection
            assert await one.fetch(BUCKET, "people/ada löwe+1 ~.jpg") == PHOTO
        assert await one.fetcher.list_names(tenant, BUCKET, "people/") == ["people/ada löwe+1 ~.jpg"]


async def test_a_name_is_resolved_once_for_a_request(
    database: Database, tenant: UUID, host: PhotoHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listed name may be internal; one that changes its address meanwhile leads nowhere else."""
    port = host.server_port
    async with fetching(database, tenant, f"http://store.internal:{port}") as one:
        with serving_photos("127.0.0.2", port) as second:
            resolver = Resolver(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
            assert await one.fetch("photo") == PHOTO
            assert (resolver.names, host.requested) == (["store.internal"], [])
            assert second.hosts == [f"store.internal:{port}"]


async def test_another_address_is_tried_if_one_does_not_accept(
    database: Database, tenant: UUID, host: PhotoHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fetching(database, tenant, f"http://store.internal:{host.server_port}") as one:
        Resolver(monkeypatch, ["127.0.0.3", "127.0.0.1"], ["127.0.0.3"])
        assert await one.fetch("photo") == PHOTO
        with pytest.raises(ObjectStoreUnavailable):
            await one.fetch("photo")


async def test_a_redirect_leads_nowhere(database: Database, tenant: UUID, host: PhotoHost) -> None:
    async with fetching(database, tenant, f"http://127.0.0.1:{host.server_port}") as one:
        with pytest.raises(ObjectUnavailable):
            await one.fetch("redirect")
    assert host.requested == ["/redirect/"]


@pytest.mark.parametrize("name", ["localhost", "other.example"])
async def test_the_certificate_is_that_of_the_name(database: Database, tenant: UUID, tmp_path: Path, name: str) -> None:
    file = certificate(name, tmp_path / "server.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    trust = ssl.create_default_context(cafile=str(file))
    with serving_photos(tls=tls) as server:
        async with fetching(database, tenant, f"https://localhost:{server.server_port}", trust) as one:
            if name == "localhost":
                assert await one.fetch("photo") == PHOTO
            else:
                with pytest.raises(ObjectStoreUnavailable):
                    await one.fetch("photo")


async def test_a_name_without_an_address_is_unavailable(database: Database, tenant: UUID) -> None:
    async with fetching(database, tenant, "https://store.invalid") as one:
        with pytest.raises(ObjectStoreUnavailable, match="no address"):
            await one.fetch("photo")
