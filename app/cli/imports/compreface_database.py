"""Read a recognition service of CompreFace from its PostgreSQL database, without changing it.

Its tables: `model` has the services, `subject` the people of each by API key, `embedding` their examples, `img` the
saved photos.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from app.cli.imports.compreface_rest import NO_PHOTO
from app.cli.imports.people import Catalog, LeftOut, Photo, PhotoMissing
from app.errors import OperatorError

T = TypeVar("T")

_SERVICES = "SELECT name, api_key FROM model WHERE type = 'R' ORDER BY name, api_key"
_EXAMPLES = """
    SELECT e.id, s.subject_name, e.img_id
    FROM embedding e JOIN subject s ON s.id = e.subject_id
    WHERE s.api_key = $1 ORDER BY s.subject_name, e.id
"""
_EMPTY = """
    SELECT s.subject_name FROM subject s
    WHERE s.api_key = $1 AND NOT EXISTS (SELECT 1 FROM embedding e WHERE e.subject_id = s.id)
    ORDER BY s.subject_name
"""
_CONTENT = "SELECT content FROM img WHERE id = $1"
_CONNECTIONS = 4


@contextmanager
def open_database(url: str, service: str, consent: str | None) -> Iterator[tuple[str, Catalog]]:
    """List a service's people and photos, which can be read in the block; yields the source's name with them."""
    with _running_loop() as loop:
        database = _Database(loop)
        database.connect(url)
        try:
            name, api_key = database.find_service(service)
            yield f"CompreFace's service {name}", database.catalog(api_key, consent)
        finally:
            database.close()


class _Database:
    """Runs statements from any thread on the loop of another; raises `OperatorError` if the database is lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pool: Any = None

    def connect(self, url: str) -> None:
        async def open_pool() -> Any:  # on the loop, which the pool remembers
            options = {"default_transaction_read_only": "on"}
            return await asyncpg.create_pool(url, min_size=1, max_size=_CONNECTIONS, server_settings=options)

        self._pool = self._run(open_pool())

    def close(self) -> None:
        self._run(self._pool.close())

    def find_service(self, service: str) -> tuple[str, str]:
        """Return the name and the API key of the service; raises `OperatorError` unless there is exactly one."""
        found = [(row["name"], row["api_key"]) for row in self._run(self._pool.fetch(_SERVICES))]
        chosen = [one for one in found if not service or service in one]
        if len(chosen) == 1:
            return chosen[0]
        names = ", ".join(name for name, _ in found) or "none"
        raise OperatorError(f"--service: name one recognition service; the database has {names}.")

    def catalog(self, api_key: str, consent: str | None) -> Catalog:
        catalog = Catalog()
        for row in self._run(self._pool.fetch(_EXAMPLES, api_key)):
            person, example = catalog.person(row["subject_name"], consent=consent), str(row["id"])
            if person is None:
                continue
            if row["img_id"] is None:
                catalog.left_out.append(LeftOut(example, "photo_missing", NO_PHOTO))
                continue
            catalog.photos.append(Photo(example, person, partial(self._load, row["img_id"]), example))
        for row in self._run(self._pool.fetch(_EMPTY, api_key)):
            if person := catalog.person(row["subject_name"], consent=consent):
                catalog.people.append(person)
        return catalog

    def _load(self, image_id: UUID) -> bytes:
        content: bytes | None = self._run(self._pool.fetchval(_CONTENT, image_id))
        if not content:
            raise PhotoMissing(NO_PHOTO)
        return content

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        async def wait() -> T:
            return await work

        try:
            return asyncio.run_coroutine_threadsafe(wait(), self._loop).result()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as exc:
            # asyncpg's messages name tables and hosts, never the password.
            raise OperatorError(f"--from-database: {type(exc).__name__}: {exc}") from exc


@contextmanager
def _running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="compreface-database")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
