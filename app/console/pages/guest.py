"""Show the page of an album's guests. The token stays in the fragment of its address, which browsers do not send."""

from fastapi import APIRouter
from starlette.responses import Response

from app.console.pages.sign_in import LIMITED
from app.console.pages_of import PagesDep

router = APIRouter(include_in_schema=False)


@router.get("/guest", dependencies=[LIMITED])
async def show_guest(pages: PagesDep) -> Response:
    return pages.render("guest.html", None)
