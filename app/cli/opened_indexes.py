"""Opens what `vultus index` and the keeper of graphs work with: the operator's login and the search's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.matcher.building import build_search
from app.persistence.database import Database
from app.persistence.provision import DatabaseAddresses
from app.persistence.repositories.graphs import GraphDirectory
from app.security.keyring import Keyring
from app.services.search_indexes import SearchIndexService
from app.settings import Settings


@asynccontextmanager
async def opened_indexes(settings: Settings, addresses: DatabaseAddresses) -> AsyncIterator[SearchIndexService]:
    """The service for the time of the block."""
    operator = Database(addresses.operator, pool_size=2, behind_pgbouncer=settings.database_pgbouncer)
    engine = build_search(settings, addresses.service, Keyring(settings.signing_keys()))
    try:
        yield SearchIndexService(GraphDirectory(operator), engine, graph_from=settings.search_graph_from)
    finally:
        await engine.close()
        await operator.close()
