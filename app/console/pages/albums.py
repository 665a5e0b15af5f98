"""Show albums: list and create them; one with its photos, progress, search, links and settings."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.console.pages.people import list_collections
from app.console.pages_of import PagesDep
from app.console.viewer import Viewer, ViewerDep
from app.domain.albums import PhotoState
from app.services.albums.albums import CountedAlbum
from app.services.paging import MAX_PAGE, PageRequest

router = APIRouter(prefix="/albums", include_in_schema=False)

Cursor = Annotated[str | None, Query(max_length=2048)]
_ALBUMS, _PHOTOS, _LINKS = 50, 50, 100


async def list_albums(viewer: Viewer) -> list[CountedAlbum]:
    """Return the albums that a viewer may choose."""
    async with viewer.caller.transaction() as services:
        return (await services.albums().list(PageRequest(MAX_PAGE, None))).items


async def list_people_collections(viewer: Viewer) -> list[str]:
    """Return the collections of registered people: all but those with the faces of albums."""
    albums = {one.album.name for one in await list_albums(viewer)}
    return [name for name in await list_collections(viewer) if name not in albums]


@router.get("")
async def show_albums(pages: PagesDep, viewer: ViewerDep, cursor: Cursor = None) -> Response:
    async with viewer.caller.transaction() as services:
        albums = await services.albums().list(PageRequest(_ALBUMS, cursor or None))
    collections = await list_people_collections(viewer)
    return pages.render("albums.html", viewer, albums=albums, collections=collections)


@router.get("/{album}")
async def show_album(
    pages: PagesDep, viewer: ViewerDep, album: str, state: PhotoState | Literal[""] = "", cursor: Cursor = None
) -> Response:
    """Show an album, and a page of its photos: all, or those in a state."""
    async with viewer.caller.transaction() as services:
        counted = await services.albums().get(album)
        photos = await services.album_photos().list(album, PageRequest(_PHOTOS, cursor or None), state or None)
        links = await services.album_links().list(album, PageRequest(_LINKS, None))
    return pages.render(
        "album.html",
        viewer,
        one=counted.album,
        counts=counted.counts,
        people=counted.people,
        photos=photos,
        states=[one.value for one in PhotoState if one is not PhotoState.ANNOUNCED],
        state=state,
        links=links.items,
        collections=await list_people_collections(viewer),
    )
