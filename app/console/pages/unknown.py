"""Show unknown people: groups of faces that probably show one person, and the faces of one group."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.console.pages.albums import list_people_collections
from app.console.pages.review import list_places
from app.console.pages_of import PagesDep
from app.console.viewer import ViewerDep
from app.domain.albums import AlbumKind
from app.errors import ClusterNotFound
from app.services.paging import PageRequest

router = APIRouter(prefix="/unknown", include_in_schema=False)

Cursor = Annotated[str, Query(max_length=2048)]
_CLUSTERS, _SAMPLES, _FACES = 24, 4, 100


@router.get("")
async def show_unknown(
    pages: PagesDep, viewer: ViewerDep, album: Annotated[str, Query(max_length=255)] = "", cursor: Cursor = ""
) -> Response:
    """List the groups of an album or a pool, those with the most faces first, each with some faces."""
    places = await list_places(viewer)
    name = album or next(iter(places), "")
    clusters, next_cursor = [], None
    if name:
        kind = places[name].kind if name in places else AlbumKind.ALBUM
        async with viewer.caller.transaction() as services:
            page = await services.clusters().list_in_album(name, PageRequest(_CLUSTERS, cursor or None), kind=kind)
            for one in page.items:
                few = PageRequest(_SAMPLES, None)
                samples = await services.sightings().list_in_album(name, few, cluster_id=one.id, kind=kind)
                clusters.append((one, samples.items))
        next_cursor = page.next_cursor
    return pages.render(
        "unknown.html",
        viewer,
        places=places,
        album=name,
        clusters=clusters,
        next_cursor=next_cursor,
        collections=await list_people_collections(viewer),
    )


@router.get("/{album}/{cluster_id}")
async def show_cluster(
    pages: PagesDep, viewer: ViewerDep, album: str, cluster_id: UUID, cursor: Cursor = ""
) -> Response:
    """Show the faces of one group; raises `ClusterNotFound`."""
    places = await list_places(viewer)
    kind = places[album].kind if album in places else AlbumKind.ALBUM
    async with viewer.caller.transaction() as services:
        request = PageRequest(_FACES, cursor or None)
        faces = await services.sightings().list_in_album(album, request, cluster_id=cluster_id, kind=kind)
    if not faces.items:
        raise ClusterNotFound(f"There is no cluster {cluster_id}.")
    return pages.render(
        "cluster.html",
        viewer,
        places=places,
        album=album,
        cluster_id=cluster_id,
        faces=faces,
        collections=await list_people_collections(viewer),
    )
