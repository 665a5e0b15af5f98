"""Show the pages that recognize the people in a photo, and compare two photos."""

from fastapi import APIRouter
from starlette.responses import Response

from app.console.pages.people import list_collections
from app.console.pages_of import PagesDep
from app.console.viewer import ViewerDep

router = APIRouter(include_in_schema=False)


@router.get("/recognize")
async def show_recognize(pages: PagesDep, viewer: ViewerDep) -> Response:
    return pages.render("recognize.html", viewer, collections=await list_collections(viewer))


@router.get("/compare")
async def show_compare(pages: PagesDep, viewer: ViewerDep) -> Response:
    return pages.render("compare.html", viewer)
