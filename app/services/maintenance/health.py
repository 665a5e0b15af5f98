"""Whether the service can do its work."""

from app.errors import DatabaseUnavailable, NotReady
from app.persistence.connections.database import Database
from app.persistence.provisioning.migrations import head_revision
from app.services.maintenance.upkeep import Upkeep


class HealthService:
    """Readiness: the model is loaded (else there is no service) and the database stands at the newest migration."""

    def __init__(self, database: Database, upkeep: Upkeep, *, must_be_confined: bool) -> None:
        self._database = database
        self._upkeep = upkeep
        self._must_be_confined = must_be_confined
        self._head = head_revision()

    async def check_ready(self) -> None:
        """Raises `NotReady` with the reason."""
        try:
            revision = await self._database.revision()
            rights = await self._database.login_rights()
        except DatabaseUnavailable as exc:
            raise NotReady("The database does not answer.") from exc
        if revision != self._head:
            raise NotReady(
                f"The database is at migration {revision}; this version needs {self._head}: `vultus migrate`."
            )
        if not self._upkeep.is_replayed:
            raise NotReady("The erasure journal was not followed yet.")
        if self._must_be_confined and not rights.is_confined:
            raise NotReady(
                f"The database login {rights.name!r} owns the tables or bypasses row-level security: give the service "
                f"a login of its own that is a member of vultus_app and nothing else."
            )
