"""Serve clusters: unknown faces of an album that probably show one person."""

from typing import Annotated

from fastapi import Path

from app.errors import AlbumNotFound, ClusterNotFound
from app.routes import API
from app.routes.deps.callers import CanRead, CanRegister
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.clusters import (
    ChangedClusterOut,
    ClusterMergeIn,
    ClusterOut,
    ClusterPage,
    ClusterSplitIn,
    SplitClusterOut,
)
from app.schemas.fields import CollectionName, Id
from app.schemas.sightings import NamedPersonIn

router = strict_router(prefix=API, tags=["albums"], responses={**AUTHENTICATED, **problems(422)})

_CHANGE = problems(ClusterNotFound, 409)


@router.get(
    "/albums/{album}/clusters", summary="List an album's clusters of unknown faces", responses=problems(AlbumNotFound)
)
async def list_clusters(
    _: CanRead, album: Annotated[CollectionName, Path()], page: PageDep, services: ServicesDep
) -> ClusterPage:
    """Returns a page of clusters, those with the most faces first. Workers add new faces within seconds."""
    found = await services.clusters().list_in_album(album, page)
    return ClusterPage(items=[ClusterOut.of(one) for one in found.items], next_cursor=found.next_cursor)


@router.post("/clusters/{cluster_id}/assign", summary="Say whom a cluster shows", responses=problems(ClusterNotFound))
async def assign_cluster(
    _: CanRegister, cluster_id: Id, body: NamedPersonIn, services: ServicesDep
) -> ChangedClusterOut:
    """Confirms that all faces of the cluster show a registered subject."""
    operation_id, faces = await services.clusters().assign(cluster_id, body.named())
    return ChangedClusterOut(operation_id=operation_id, faces=faces)


@router.post("/clusters/{cluster_id}/merge", summary="Merge a cluster into another", responses=_CHANGE)
async def merge_clusters(
    _: CanRegister, cluster_id: Id, body: ClusterMergeIn, services: ServicesDep
) -> ChangedClusterOut:
    """Moves all faces of the cluster in the body to the one in the path. Both stay together from now on."""
    operation_id, faces = await services.clusters().merge(cluster_id, body.cluster_id)
    return ChangedClusterOut(operation_id=operation_id, faces=faces)


@router.post("/clusters/{cluster_id}/split", summary="Split faces off a cluster", responses=_CHANGE)
async def split_cluster(_: CanRegister, cluster_id: Id, body: ClusterSplitIn, services: ServicesDep) -> SplitClusterOut:
    """Moves the listed faces to a new cluster. Both stay apart from now on."""
    operation_id, new_id, faces = await services.clusters().split(cluster_id, body.face_ids)
    return SplitClusterOut(operation_id=operation_id, cluster_id=new_id, faces=faces)
