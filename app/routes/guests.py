"""Serve guests of an album, who hold a link and no account."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.domain.decisions import Decision
from app.errors import AuthenticationFailed, LinkNotFound
from app.permissions import Permission
from app.routes import API
from app.routes.deps.callers import StateDep, count_bad_credential, refuse_repeated
from app.routes.form_bodies import form_body
from app.routes.photo_fields import PhotoFields
from app.routes.responses import WITH_FACE, problems
from app.routes.strict_route import strict_router
from app.routes.uploads import ImageForm, guarded_image_form
from app.schemas.album_links import GuestAlbumOut, GuestSearchForm, GuestSearchOut
from app.server.admission import admit
from app.server.disconnects import DisconnectDep
from app.server.state import limiter_of
from app.services.albums.links import Guest
from app.wiring.caller import CallerServices

router = strict_router(prefix=f"{API}/guest", tags=["guests"], responses=problems(401, LinkNotFound, 429))

_SELFIE = PhotoFields({"image": 1})
_link_token = HTTPBearer(scheme_name="GuestLink", auto_error=False)


async def get_guest(
    request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_link_token)], state: StateDep
) -> Guest:
    """Return the guest behind a link's token, within the link's rate.

    Raises `AuthenticationFailed` without a token, `LinkNotFound`, or `RateLimited`.
    """
    refuse_repeated(request, "authorization")
    if sent is None:
        raise AuthenticationFailed("Send the token of a link as `Authorization: Bearer <token>`.")
    try:
        guest = await state.guests.find(sent.credentials)
    except LinkNotFound:
        await count_bad_credential(request)
        raise
    await limiter_of(request).admit_link(guest.link.id, guest.link.rate)
    return guest


GuestDep = Annotated[Guest, Depends(get_guest)]


async def admit_search(request: Request, guest: GuestDep) -> None:
    """Count the tenant's recognition; raises `RateLimited`, `QuotaExceeded` or `Overloaded`."""
    await admit(request, guest.principal, Permission.RECOGNIZE)


SelfieUpload = Annotated[
    ImageForm[GuestSearchForm], Depends(guarded_image_form(GuestSearchForm, _SELFIE, admit_search))
]


@router.get("/album", summary="Get what a guest agrees to")
async def get_guest_album(guest: GuestDep) -> GuestAlbumOut:
    """Returns the album's title and the text to agree to before a search."""
    return GuestAlbumOut.of(guest)


@router.post(
    "/search",
    summary="Find the photos that show a guest",
    responses=WITH_FACE,
    openapi_extra=form_body(GuestSearchForm, _SELFIE),
)
async def search_as_guest(
    guest: GuestDep, upload: SelfieUpload, state: StateDep, disconnect: DisconnectDep
) -> GuestSearchOut:
    """Finds every photo that shows the largest face of the image. The image is not stored; that the guest agreed is.

    Only matches are found. For the next page, send the same image again with the cursor.
    """
    caller = CallerServices(state, guest.principal, disconnect)
    await state.guests.record_search(guest)
    result = await caller.album_search().by_photos(
        guest.link.album,
        [await upload.image("image")],
        upload.fields.page(),
        lowest=Decision.MATCH,
        field=upload.field_of("image"),
    )
    return GuestSearchOut.of(result)
