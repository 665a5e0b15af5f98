"""Check whether the service is ready for requests."""

from app.errors import DatabaseUnavailable, NotReady
from app.persistence.connections.database import Database
from app.persistence.provisioning.migrations import head_revision
from app.services.maintenance.background_erasure import BackgroundErasure


class HealthService:
    """Check the database, its migration, the erasure replay and the login; the models are loaded before this exists."""

    def __init__(self, database: Database, erasure: BackgroundErasure, *, must_be_confined: bool) -> None:
        self._database = database
        self._erasure = erasure
        self._must_be_confined = must_be_confined
        self._head = head_revision()

    async def check_ready(self) -> None:
        """Raise `NotReady` with the reason if the service is not ready."""
        try:
            revision = await self._database.revision()
            rights = await self._database.login_rights()
        except DatabaseUnavailable as exc:
            raise NotReady("The database does not respond.") from exc
        if revision != self._head:
            raise NotReady(
                f"The database is at migration {revision}; this version needs {self._head}. Run `vultus migrate`."
            )
        if not self._erasure.is_replayed:
            raise NotReady("The erasure journal has not been replayed yet.")
        if self._must_be_confined and not rights.is_confined:
            raise NotReady(
                f"The database login {rights.name!r} owns the tables or bypasses row-level security. Create a separate "
                f"login for the service that is a member of vultus_app only."
            )
