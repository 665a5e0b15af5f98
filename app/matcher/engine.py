"""What all searches of a process share: connections, the cache of galleries, limits, and the template protection."""

from dataclasses import dataclass

from app.matcher.gallery_cache import GalleryCache
from app.matcher.strategy import SearchLimits
from app.persistence.connections.snapshots import SnapshotPool
from app.persistence.connections.statements import StatementPool
from app.persistence.template_protector import TemplateProtector


@dataclass(frozen=True, slots=True)
class SearchEngine:
    """One per process; `TenantSearch` searches one tenant's galleries with it."""

    snapshots: SnapshotPool
    statements: StatementPool
    cache: GalleryCache
    limits: SearchLimits
    protector: TemplateProtector

    async def close(self) -> None:
        """Close every connection."""
        await self.cache.close()
        await self.statements.close()
        await self.snapshots.close()
