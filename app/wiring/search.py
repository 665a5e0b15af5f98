"""Puts the search of a process together from its settings: for the service, and for the commands that measure it."""

import os

from app.matcher.gallery_cache import GalleryCache
from app.matcher.gallery_search import SearchEngine
from app.matcher.strategy import SearchLimits
from app.persistence.connections.snapshots import SearchPool
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from app.settings import Settings


def build_search(settings: Settings, url: str, keyring: Keyring) -> SearchEngine:
    """The search through the database at the address; connects when it is first used."""
    size = settings.search_concurrency or settings.inference_threads or os.cpu_count() or 1
    pool, filling = (
        SearchPool(url, size=connections, behind_pgbouncer=settings.database_pgbouncer) for connections in (size, 1)
    )
    cache = GalleryCache(
        filling, max_bytes=settings.search_cache_mb * 2**20, whole_to=settings.search_whole_limit
    )  # fmt: skip
    return SearchEngine(pool, cache, SearchLimits(exact=settings.search_exact_limit), TemplateProtector(keyring))
