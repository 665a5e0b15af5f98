"""Servers of this version go on beside a newer one that has expanded the schema, and say so where it has not only."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import httpx

from app.persistence.provisioning.migrations import head_revision, migrate
from tests import pictures
from tests.cli.album_servers import make_key
from tests.cli.test_serve import service_env
from tests.servers import serving

__all__ = ["service_env"]

NEWER = "9999"
EXPAND = (
    "ALTER TABLE photos ADD COLUMN from_the_future text",
    "ALTER TABLE subjects ADD COLUMN from_the_future text DEFAULT 'nothing' NOT NULL",
    "CREATE TABLE from_the_future (id bigint PRIMARY KEY)",
)
CONTRACT_AGAIN = (
    "ALTER TABLE photos DROP COLUMN from_the_future",
    "ALTER TABLE subjects DROP COLUMN from_the_future",
    "DROP TABLE from_the_future",
)


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def migrated_by_a_newer_version(url: str) -> Iterator[None]:
    asyncio.run(execute(url, *EXPAND, f"UPDATE alembic_version SET version_num = '{NEWER}'"))
    try:
        yield
    finally:
        asyncio.run(execute(url, *CONTRACT_AGAIN, f"UPDATE alembic_version SET version_num = '{head_revision()}'"))
        migrate(url)  # and what this version needs is noted again


def test_a_server_goes_on_beside_a_newer_version_until_the_schema_contracts(
    service_env: dict[str, str], database_url: str
) -> None:
    with serving(**service_env) as (base, _):
        headers = {"authorization": f"Bearer {make_key(base)}"}
        with migrated_by_a_newer_version(database_url):
            assert httpx.get(f"{base}/readyz").status_code == 200
            photo = {"images": ("a.jpg", pictures.photo(1))}
            registered = httpx.post(f"{base}/api/v1/register", data={"subject": "ada"}, files=photo, headers=headers)
            assert registered.status_code == 201, registered.text
            image = {"image": ("a.jpg", pictures.photo(1, take=1))}
            found = httpx.post(f"{base}/api/v1/recognize", files=image, headers=headers).json()
            assert found["faces"][0]["candidates"][0]["subject"] == "ada"
            asyncio.run(execute(database_url, f"COMMENT ON TABLE alembic_version IS '{NEWER}'"))
            refused = httpx.get(f"{base}/readyz")
            assert refused.status_code == 503
            assert NEWER in refused.json()["detail"]
        assert httpx.get(f"{base}/readyz").status_code == 200
