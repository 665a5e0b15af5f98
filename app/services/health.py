"""Whether the service can do its work."""

from app.errors import DatabaseUnavailable, NotReady
from app.persistence.database import Database
from app.persistence.migration import head_revision


class HealthService:
    """Readiness: the model is loaded (else there is no service) and the database stands at the newest migration."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._head = head_revision()

    async def check_ready(self) -> None:
        """Raises `NotReady` with the reason."""
        try:
            revision = await self._database.revision()
        except DatabaseUnavailable as exc:
            raise NotReady("The database does not answer.") from exc
        if revision != self._head:
            raise NotReady(
                f"The database is at migration {revision}; this version needs {self._head}: `vultus migrate`."
            )
