"""Show the faces that a person should decide on: whom they resemble, and where they were seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.console.pages.albums import list_albums, list_people_collections
from app.console.pages_of import PagesDep
from app.console.viewer import Viewer, ViewerDep
from app.domain.albums import AlbumKind, Keep
from app.domain.sightings import Sighting, SightingState
from app.services.paging import PageRequest
from app.wiring.caller import TransactionServices

router = APIRouter(prefix="/review", include_in_schema=False)

_FACES = 24


@dataclass(frozen=True, slots=True)
class Place:
    """An album or a pool, whose faces can be decided on; `title` is what people call it."""

    name: str
    title: str
    kind: AlbumKind
    has_pictures: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """Faces that wait, and where the next ones begin: a place, and a cursor in it."""

    faces: Sequence[Sighting]
    next_place: str | None = None
    next_cursor: str | None = None


async def list_places(viewer: Viewer) -> dict[str, Place]:
    """Return the viewer's albums and pools by name."""
    albums = [
        Place(one.album.name, one.album.title or one.album.name, AlbumKind.ALBUM, one.album.keep is Keep.CROPS)
        for one in await list_albums(viewer)
    ]
    async with viewer.caller.transaction() as services:
        pools = [Place(name, name, AlbumKind.POOL, False) for name in await services.pools().list_names()]
    return {one.name: one for one in albums + pools}


async def read_queue(
    services: TransactionServices, places: Sequence[Place], state: SightingState, cursor: str | None
) -> Queue:
    """Read the faces in a state, from the first place on; the cursor is one of the first place."""
    faces: list[Sighting] = []
    for place in places:
        if len(faces) == _FACES:
            return Queue(faces, place.name)
        request = PageRequest(_FACES - len(faces), cursor)
        page = await services.sightings().list_in_album(place.name, request, state, kind=place.kind)
        faces += page.items
        if page.next_cursor is not None:
            return Queue(faces, place.name, page.next_cursor)
        cursor = None
    return Queue(faces)


@router.get("")
async def show_review(
    pages: PagesDep,
    viewer: ViewerDep,
    album: Annotated[str, Query(max_length=255)] = "",
    state: Literal["review", "pending"] = "review",
    begin: Annotated[str, Query(max_length=255)] = "",
    cursor: Annotated[str, Query(max_length=2048)] = "",
) -> Response:
    """Show the faces of an album, or of all; `begin` is the place that the next ones begin in."""
    places = await list_places(viewer)
    chosen = list(places.values())
    if album:
        chosen = [places.get(album) or Place(album, album, AlbumKind.ALBUM, False)]
    names = [one.name for one in chosen]
    async with viewer.caller.transaction() as services:
        start = names.index(begin) if begin in names else 0
        queue = await read_queue(services, chosen[start:], SightingState(state), cursor or None)
    return pages.render(
        "review_items.html" if begin else "review.html",
        viewer,
        places=places,
        album=album,
        state=state,
        queue=queue,
        collections=await list_people_collections(viewer),
    )
