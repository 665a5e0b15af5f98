"""Serve links for guests: issue, list and revoke them."""

from typing import Annotated

from fastapi import Path

from app.errors import AlbumNotFound, LinkNotFound
from app.routes import API
from app.routes.deps.callers import CanDelete, CanRead, CanRegister
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.album_links import AlbumLinkIn, AlbumLinkOut, AlbumLinkPage, IssuedAlbumLinkOut
from app.schemas.fields import CollectionName, Id

router = strict_router(
    prefix=API + "/albums/{album}/links",
    tags=["albums"],
    responses={**AUTHENTICATED, **problems(AlbumNotFound, 422)},
)

AlbumId = Annotated[CollectionName, Path()]


@router.post("", status_code=201, summary="Issue a link for guests")
async def issue_link(_: CanRegister, album: AlbumId, body: AlbumLinkIn, services: ServicesDep) -> IssuedAlbumLinkOut:
    """Whoever has the token finds the photos that show them, by a photo of theirs that is not stored."""
    issued = await services.album_links().issue(
        album,
        label=body.label,
        consent_text=body.consent_text,
        rate=body.rate,
        expires_at=body.expires_at,
    )
    return IssuedAlbumLinkOut.issued(issued)


@router.get("", summary="List an album's links")
async def list_links(_: CanRead, album: AlbumId, page: PageDep, services: ServicesDep) -> AlbumLinkPage:
    """Returns a page of links that are neither revoked nor expired, oldest first, without their tokens."""
    found = await services.album_links().list(album, page)
    return AlbumLinkPage(items=[AlbumLinkOut.of(link) for link in found.items], next_cursor=found.next_cursor)


@router.delete("/{link_id}", status_code=204, summary="Revoke a link", responses=problems(LinkNotFound))
async def revoke_link(_: CanDelete, album: AlbumId, link_id: Id, services: ServicesDep) -> None:
    """Takes effect with the next request of a guest, and cannot be undone."""
    await services.album_links().revoke(album, link_id)
