"""Create, list, rename and erase subjects."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from app.compreface.access import allow
from app.compreface.call import Call, Result
from app.compreface.routing import serve
from app.errors import InvalidParameter, SubjectNotFound
from app.permissions import Permission
from app.schemas.subject_names import display_name, from_subject_id, to_subject_id
from app.services.paging import iterate_pages
from app.services.people.subjects import UNCHANGED, SubjectChanges
from app.wiring.caller import TransactionServices

router = APIRouter()

CanRead = Annotated[Call, Depends(allow(Permission.READ))]
CanRegister = Annotated[Call, Depends(allow(Permission.REGISTER))]
CanDelete = Annotated[Call, Depends(allow(Permission.DELETE))]

MAX_LISTED = 100_000
"""Subjects in one list, which the protocol does not split into pages."""


@serve(router, "POST", "/recognition/subjects", status=201)
async def add_subject(call: CanRegister) -> Result:
    name = _read_name(await call.body())
    subject = to_subject_id(name)
    async with call.changing() as services:

        async def work() -> Result:
            await services.subjects().create(call.collection, subject, display_name(name, subject), {})
            return {"subject": from_subject_id(subject)}

        return _object(await call.run_once(services, ("add subject", subject), work, status=201, about=subject))


@serve(router, "GET", "/recognition/subjects")
async def list_subjects(call: CanRead) -> Result:
    names: list[str] = []
    async with call.reading() as services:
        assignment = services.assignment()
        async for listed in iterate_pages(lambda page: assignment.list_page(call.collection, page)):
            names.append(from_subject_id(listed.subject))
            if len(names) > MAX_LISTED:
                raise InvalidParameter(
                    f"subjects: the collection has more than {MAX_LISTED}. List them page by page with the native API "
                    f"(GET /api/v1/collections/{{collection}}/subjects)."
                )
    return {"subjects": sorted(names)}


@serve(router, "PUT", "/recognition/subjects/{subject}")
async def rename_subject(subject: str, call: CanRegister) -> Result:
    former, name = to_subject_id(subject), _read_name(await call.body())
    current = to_subject_id(name)
    async with call.changing() as services:

        async def work() -> Result:
            await _rename(services, call.collection, former, current, display_name(name, current))
            return {"updated": True}

        return _object(await call.run_once(services, ("rename subject", former, current), work, about=current))


@serve(router, "DELETE", "/recognition/subjects/{subject}")
async def delete_subject(subject: str, call: CanDelete) -> Result:
    named = to_subject_id(subject)
    async with call.changing() as services:

        async def work() -> Result:
            await services.subjects().delete(call.collection, named)
            return {"subject": from_subject_id(named)}

        return _object(await call.run_once(services, ("delete subject", named), work))


@serve(router, "DELETE", "/recognition/subjects")
async def delete_subjects(call: CanDelete) -> Result:
    async with call.changing() as services:

        async def work() -> Result:
            return {"deleted": await services.subjects().delete_all(call.collection)}

        return _object(await call.run_once(services, ("delete subjects",), work))


async def _rename(services: TransactionServices, collection: str, former: str, current: str, name: str | None) -> None:
    """Rename a subject, or merge it into the one that has the new name already, as CompreFace does."""
    if former == current:
        await services.subjects().get(collection, former)
        return
    try:
        await services.subjects().get(collection, current)
    except SubjectNotFound:
        changes = SubjectChanges(subject=current, name=name if name is not None else UNCHANGED)
        await services.subjects().change(collection, former, changes)
    else:
        await services.merging().merge(collection, former, current)


def _read_name(body: Result) -> str:
    name = body.get("subject")
    if not isinstance(name, str):
        raise InvalidParameter("subject: must be a string, the name of the subject.", field="subject")
    return name


def _object(value: Any) -> Result:
    return dict(value)
