"""Serve the audit trail: who changed what, and when."""

from typing import Annotated

from fastapi import Query

from app.errors import InvalidParameter
from app.routes import API
from app.routes.deps.callers import CanAdmin
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.audit import AuditEntryOut, AuditPage
from app.schemas.fields import CollectionName, Label, SubjectId, Timestamp
from app.services.audit.actions import AuditAction

router = strict_router(prefix=f"{API}/audit", tags=["privacy"], responses=AUTHENTICATED)


@router.get("", summary="List audit entries, newest first", responses=problems(422))
async def list_audit_entries(
    _: CanAdmin,
    page: PageDep,
    services: ServicesDep,
    action: Annotated[list[AuditAction] | None, Query(description="Only these actions; repeatable.")] = None,
    actor: Annotated[Label | None, Query(description="Only changes by this actor: `user:<id>` or `key:<id>`.")] = None,
    collection: Annotated[CollectionName | None, Query(description="Only changes to this collection.")] = None,
    subject: Annotated[
        SubjectId | None, Query(description="Only changes to this subject. Requires `collection`.")
    ] = None,
    since: Annotated[Timestamp | None, Query(description="Only entries at or after this time.")] = None,
    before: Annotated[Timestamp | None, Query(description="Only entries before this time.")] = None,
) -> AuditPage:
    """Returns who changed what and when, filtered by all parameters that are given."""
    if subject is not None and collection is None:
        raise InvalidParameter("subject: the parameter `collection` is required with it.", field="subject")
    found = await services.audit().list(
        page, actions=action, actor=actor, collection=collection, subject=subject, since=since, before=before
    )
    return AuditPage(items=[AuditEntryOut.of(item) for item in found.items], next_cursor=found.next_cursor)
