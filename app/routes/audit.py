"""Who changed what, and when."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.errors import InvalidParameter
from app.routes import API
from app.routes.deps.callers import CanAdmin
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.schemas.audit import AuditEntryOut, AuditPage
from app.schemas.fields import CollectionName, Label, Moment, SubjectId
from app.services.audit.trail import AuditAction

router = APIRouter(prefix=f"{API}/audit", tags=["privacy"], responses=AUTHENTICATED)


@router.get("", summary="The audit trail, the newest entry first", responses=problems(422))
async def list_entries(
    _: CanAdmin,
    page: PageDep,
    services: ServicesDep,
    action: Annotated[list[AuditAction] | None, Query(description="Only these; repeat.")] = None,
    actor: Annotated[Label | None, Query(description="`user:`, `key:` and an id.")] = None,
    collection: Annotated[CollectionName | None, Query()] = None,
    subject: Annotated[SubjectId | None, Query(description="Together with `collection`.")] = None,
    since: Annotated[Moment | None, Query()] = None,
    before: Annotated[Moment | None, Query()] = None,
) -> AuditPage:
    if subject is not None and collection is None:
        raise InvalidParameter("subject: name its collection too.", field="subject")
    found = await services.audit().list(
        page, actions=action, actor=actor, collection=collection, subject=subject, since=since, before=before
    )
    return AuditPage(items=[AuditEntryOut.of(item) for item in found.items], next_cursor=found.next_cursor)
