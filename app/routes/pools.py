"""Serve pools: a collection's own anonymous faces, matched and grouped like those of an album."""

from typing import Annotated

from fastapi import Path, Query

from app.domain.albums import AlbumKind
from app.errors import CollectionNotFound
from app.routes import API
from app.routes.deps.callers import CanDelete, CanRead
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.sightings import State
from app.routes.strict_route import strict_router
from app.schemas.clusters import ClusterOut, ClusterPage
from app.schemas.fields import CollectionName, Id
from app.schemas.pools import PoolIn, PoolOut
from app.schemas.sightings import SightingOut, SightingPage

router = strict_router(prefix=f"{API}/collections/{{collection}}", tags=["collections"], responses=AUTHENTICATED)

Collection = Annotated[CollectionName, Path()]
_POOL = problems(CollectionNotFound, 422)


@router.put("/pool", summary="Match and group a collection's anonymous faces", responses=_POOL)
async def set_pool(_: CanDelete, collection: Collection, body: PoolIn, services: ServicesDep) -> PoolOut:
    """Includes the faces that are stored already. Workers match and group new ones within seconds.

    Needs the permission to delete, because the pool erases its faces after `retain_days`.
    """
    return PoolOut.of(await services.pools().set(collection, body.people, body.retain_days))


@router.get("/pool", summary="Get a collection's pool", responses=problems(CollectionNotFound))
async def get_pool(_: CanRead, collection: Collection, services: ServicesDep) -> PoolOut:
    """404 with `pool_not_found` if the collection is none."""
    return PoolOut.of(await services.pools().get(collection))


@router.delete("/pool", status_code=204, summary="Stop matching and grouping", responses=problems(CollectionNotFound))
async def delete_pool(_: CanDelete, collection: Collection, services: ServicesDep) -> None:
    """Forgets groups and decisions. The faces stay in the collection, and are not erased by the pool anymore."""
    await services.pools().delete(collection)


@router.get("/sightings", summary="List whom a pool's faces show", responses=_POOL)
async def list_pool_sightings(
    _: CanRead,
    collection: Collection,
    page: PageDep,
    services: ServicesDep,
    state: State = None,
    cluster_id: Annotated[Id | None, Query(description="Only faces in this cluster.")] = None,
) -> SightingPage:
    """Returns a page of the pool's faces in the order of arrival, with whom they match or may match."""
    found = await services.sightings().list_in_album(collection, page, state, cluster_id, kind=AlbumKind.POOL)
    return SightingPage(items=[SightingOut.of(one) for one in found.items], next_cursor=found.next_cursor)


@router.get("/clusters", summary="List a pool's clusters of unknown faces", responses=_POOL)
async def list_pool_clusters(_: CanRead, collection: Collection, page: PageDep, services: ServicesDep) -> ClusterPage:
    """Returns a page of clusters, those with the most faces first."""
    found = await services.clusters().list_in_album(collection, page, kind=AlbumKind.POOL)
    return ClusterPage(items=[ClusterOut.of(one) for one in found.items], next_cursor=found.next_cursor)
