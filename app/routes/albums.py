"""Serve albums: create, list, change and erase them."""

from typing import Annotated

from fastapi import BackgroundTasks, Path

from app.errors import CollectionNotFound
from app.routes import API
from app.routes.deps.callers import CanDelete, CanRead, CanRegister, StateDep
from app.routes.deps.services import IdempotencyDep, PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.albums import AlbumChangesIn, AlbumIn, AlbumOut, AlbumPage
from app.schemas.fields import CollectionName

router = strict_router(prefix=f"{API}/albums", tags=["albums"], responses=AUTHENTICATED)

AlbumId = Annotated[CollectionName, Path()]


@router.post("", status_code=201, summary="Create an album", responses=problems(CollectionNotFound, 409, 422))
async def create_album(_: CanRegister, body: AlbumIn, services: ServicesDep, idempotency: IdempotencyDep) -> AlbumOut:
    """Creates a collection of the same name, which the faces of the album's photos go to."""

    async def work() -> AlbumOut:
        created = await services.albums().create(
            body.id,
            title=body.title,
            keep=body.keep,
            expected=body.expected,
            expires_at=body.expires_at,
            people=body.people,
        )
        return AlbumOut.of(created)

    return await idempotency.once(("create album", body.model_dump_json()), 201, work)


@router.get("", summary="List albums by id", responses=problems(422))
async def list_albums(_: CanRead, page: PageDep, services: ServicesDep) -> AlbumPage:
    """Returns a page of albums with their photos by state."""
    found = await services.albums().list(page)
    return AlbumPage(items=[AlbumOut.of(item) for item in found.items], next_cursor=found.next_cursor)


@router.get("/{album}", summary="Get an album", responses=problems(404))
async def get_album(_: CanRead, album: AlbumId, services: ServicesDep) -> AlbumOut:
    """Returns how many photos wait, are done and failed, and how many faces are stored."""
    return AlbumOut.of(await services.albums().get(album))


@router.patch("/{album}", summary="Change or close an album", responses=problems(404, 422))
async def change_album(_: CanRegister, album: AlbumId, body: AlbumChangesIn, services: ServicesDep) -> AlbumOut:
    """Omitted fields keep their values. A closed album takes no more photos until it is reopened."""
    return AlbumOut.of(await services.albums().change(album, body.change()))


@router.delete("/{album}", status_code=204, summary="Erase an album with all its photos", responses=problems(404))
async def delete_album(
    _: CanDelete,
    album: AlbumId,
    services: ServicesDep,
    idempotency: IdempotencyDep,
    state: StateDep,
    background: BackgroundTasks,
) -> None:
    """Erases the photos that wait, all faces, and the collection. This cannot be undone."""
    await idempotency.once(("delete album", album), 204, lambda: services.albums().delete(album))
    background.add_task(state.album_worker.empty_spool)
