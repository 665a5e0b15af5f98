"""Check whether the service is ready for requests."""

import asyncio

from app.errors import DatabaseUnavailable, NotReady
from app.ml.remote.client import InferenceClient
from app.persistence.connections.database import Database, LoginRights
from app.persistence.provisioning.migrations import head_revision, open_migrations
from app.services.maintenance.background_erasure import BackgroundErasure

_TIMEOUT_S = 1.5
_Read = tuple[str | None, str | None, LoginRights]


class HealthService:
    """Check the database, its migration, the erasure replay and the login.

    Networks of this process are loaded before this exists; `inference` is the client of an inference server, if any.
    """

    def __init__(
        self,
        database: Database,
        erasure: BackgroundErasure,
        inference: InferenceClient | None,
        *,
        must_be_confined: bool,
    ) -> None:
        self._database = database
        self._erasure = erasure
        self._inference = inference
        self._must_be_confined = must_be_confined
        self._head = head_revision()
        self._known = frozenset(one.revision for one in open_migrations().walk_revisions())
        self._reading: asyncio.Task[_Read] | None = None

    async def check_ready(self) -> None:
        """Raise `NotReady` with the reason if the service is not ready."""
        try:
            revision, needed, rights = await self._read()
        except DatabaseUnavailable as exc:
            raise NotReady("The database does not respond.") from exc
        self._check_schema(revision, needed)
        if not self._erasure.is_replayed:
            raise NotReady("The erasure journal has not been replayed yet.")
        if self._must_be_confined and not rights.is_confined:
            raise NotReady(
                f"The database login {rights.name!r} owns the tables or bypasses row-level security. Create a separate "
                f"login for the service that is a member of vultus_app only."
            )

    def _check_schema(self, revision: str | None, needed: str | None) -> None:
        """Raise `NotReady` unless the schema is this version's, or that of a newer one that this version survives."""
        if revision is None or (revision < self._head and revision in self._known):
            raise NotReady(
                f"The database is at migration {revision}; this version needs {self._head}. Run `vultus migrate`."
            )
        if revision not in self._known and (needed is None or needed > self._head):
            raise NotReady(
                f"A newer version has migrated the database to {revision}, with which this one does not work. Upgrade "
                f"this server."
            )

    async def has_inference(self) -> bool | None:
        """Return whether the inference server responds; None if the networks run in this process."""
        if self._inference is None:
            return None
        return not await asyncio.to_thread(self._inference.is_away)

    async def _read(self) -> _Read:
        """Read the schema's revision, the one that servers must know beside a newer one, and the login's rights.

        Raises `DatabaseUnavailable` after 1.5 s.

        A reading that takes longer goes on, and later calls wait for it too: a canceled one would still occupy its
        connection until the database responds.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_database())
            self._reading.add_done_callback(_retrieve_exception)
        await asyncio.wait({self._reading}, timeout=_TIMEOUT_S)
        if not self._reading.done():
            raise DatabaseUnavailable
        return self._reading.result()

    async def _read_database(self) -> _Read:
        revision = await self._database.revision()
        is_newer = revision is not None and revision not in self._known
        needed = await self._database.needed_migration() if is_newer else None
        return revision, needed, await self._database.login_rights()


def _retrieve_exception(reading: "asyncio.Task[_Read]") -> None:
    """Keep asyncio from logging the failure of a reading that nobody waits for any more."""
    if not reading.cancelled():
        reading.exception()
