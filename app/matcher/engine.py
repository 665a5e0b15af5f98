"""What all searches of a process share: connections, the gallery cache, limits and the template protection."""

from dataclasses import dataclass

from app.matcher.gallery_cache import GalleryCache
from app.matcher.strategy import SearchLimits
from app.persistence.connections.snapshots import SnapshotPool
from app.persistence.connections.statements import StatementPool
from app.persistence.template_protector import TemplateProtector


@dataclass(frozen=True, slots=True)
class SearchEngine:
    """The shared resources, one instance per process; `TenantSearch` uses them for one tenant."""

    snapshots: SnapshotPool
    statements: StatementPool
    cache: GalleryCache
    limits: SearchLimits
    protector: TemplateProtector

    async def close(self) -> None:
        await self.cache.close()
        await self.statements.close()
        await self.snapshots.close()
