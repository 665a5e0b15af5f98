"""Build the search engine of a process from its settings, for the service and for the commands that measure it."""

import os

from app.matcher.engine import SearchEngine
from app.matcher.gallery_cache import GalleryCache
from app.matcher.strategy import SearchLimits
from app.persistence.connections.database import driver_address
from app.persistence.connections.snapshots import SnapshotPool
from app.persistence.connections.statements import StatementPool
from app.persistence.connections.watchdog import Watchdog
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from app.settings import Settings


def build_search(settings: Settings, url: str, keyring: Keyring, *, watchdog: Watchdog | None = None) -> SearchEngine:
    """Build the search engine for the database at `url`; its pools connect on first use."""
    size = settings.search_concurrency or settings.inference_threads or os.cpu_count() or 1
    behind_pgbouncer = settings.database_pgbouncer
    # The cache fills over its own connection, so that it and the searches never wait for each other.
    filling = SnapshotPool(url, size=1, behind_pgbouncer=behind_pgbouncer, watchdog=watchdog)
    cache = GalleryCache(
        filling, max_bytes=settings.search_cache_mb * 2**20, max_whole_templates=settings.search_cache_whole_limit
    )
    return SearchEngine(
        SnapshotPool(url, size=size, behind_pgbouncer=behind_pgbouncer, watchdog=watchdog),
        StatementPool(driver_address(url), size=size, behind_pgbouncer=behind_pgbouncer, watchdog=watchdog),
        cache,
        SearchLimits(exact=settings.search_exact_limit),
        TemplateProtector(keyring),
    )
