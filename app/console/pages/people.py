"""Show people: search, one person with stored faces, and the form to add one."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from app.console.pages_of import PagesDep
from app.console.viewer import Viewer, ViewerDep
from app.services.paging import PageRequest
from app.services.people.subject_listing import SubjectQuery

router = APIRouter(prefix="/people", include_in_schema=False)

Cursor = Annotated[str | None, Query(max_length=2048)]
_PAGE = 30


async def list_collections(viewer: Viewer) -> list[str]:
    """Return the names of the collections that a viewer may choose."""
    async with viewer.caller.transaction() as services:
        return [one.name for one in (await services.collections().list(PageRequest(200, None))).items]


@router.get("")
async def show_people(
    pages: PagesDep,
    viewer: ViewerDep,
    collection: Annotated[str | None, Query(max_length=64)] = None,
    q: Annotated[str, Query(max_length=200)] = "",
    cursor: Cursor = None,
    hx_target: Annotated[str | None, Header()] = None,
) -> Response:
    """List people by the beginnings of their names; with a cursor, only the next cards."""
    collections = await list_collections(viewer)
    chosen = collection or next(iter(collections), "default")
    query = SubjectQuery(text=q.strip() or None)
    subjects = await viewer.caller.subject_listing().list(chosen, PageRequest(_PAGE, cursor or None), query)
    template = "people_items.html" if cursor and hx_target != "people" else "people.html"
    return pages.render(template, viewer, collections=collections, collection=chosen, q=q, subjects=subjects)


@router.get("/new")
async def show_new_person(
    pages: PagesDep, viewer: ViewerDep, collection: Annotated[str | None, Query(max_length=64)] = None
) -> Response:
    return pages.render(
        "person_new.html", viewer, collections=await list_collections(viewer), collection=collection or "default"
    )


@router.get("/{collection}/{subject}")
async def show_person(
    pages: PagesDep, viewer: ViewerDep, collection: str, subject: str, cursor: Cursor = None
) -> Response:
    collections = await list_collections(viewer)
    async with viewer.caller.transaction() as services:
        subjects = services.subjects()
        one = await subjects.get(collection, subject)
        faces = await subjects.list_faces(collection, subject, PageRequest(50, cursor))
    return pages.render("person.html", viewer, collections=collections, collection=collection, one=one, faces=faces)
