"""Tell the operator how the service is: model packs, jobs, search indexes, and what each tenant uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.tenancy import TenantOverview
from app.errors import TenantNotFound
from app.ml.engine import EngineInfo
from app.persistence.connections.database import Database
from app.persistence.job_queue import JobCount, count_jobs
from app.persistence.repositories.graphs import GalleryRecord, GraphDirectory
from app.persistence.repositories.usage import UsageRepository

_MAX_GALLERIES = 100


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The loaded recognizers with their packs, the jobs that wait or run, and the largest galleries."""

    packs: Sequence[EngineInfo]
    jobs: Sequence[JobCount]
    galleries: Sequence[GalleryRecord]


class OperatorOverview:
    """Reads across tenants; needs the operator's database login."""

    def __init__(self, database: Database, packs: Sequence[EngineInfo]) -> None:
        self._database = database
        self._packs = packs

    async def describe(self) -> ServiceState:
        galleries = await GraphDirectory(self._database).list_galleries(_MAX_GALLERIES)
        return ServiceState(self._packs, await count_jobs(self._database), galleries)

    async def describe_tenant(self, tenant_id: UUID) -> TenantOverview:
        """Return a tenant's plan and the used part of each quota; raises `TenantNotFound`."""
        async with self._database.transaction(as_operator=True) as session:
            found = await UsageRepository(session, tenant_id).get_overview()
        if found is None:
            raise TenantNotFound
        return found
