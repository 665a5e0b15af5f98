"""Create, list, change and erase collections."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from app.domain.collections import Collection, CollectionRecord
from app.domain.decisions import DecisionPolicy
from app.errors import CollectionExists, CollectionNotFound, PermissionDenied, QuotaExceeded
from app.permissions import Quota
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.security.cursors import CursorSigner, read_text
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.paging import Page, PageRequest, cut_page
from app.services.tenancy.quotas import QuotaService

T = TypeVar("T")

MAX_TAGS = 200


def require_found(row: T | None, name: str) -> T:
    """Return the row; raises `CollectionNotFound` if it is None."""
    if row is None:
        raise CollectionNotFound(f"There is no collection {name!r}.")
    return row


class CollectionService:
    """Manage the collections of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionRepository,
        idempotency_records: IdempotencyRecords,
        quotas: QuotaService,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        self._collections = collections
        self._idempotency_records = idempotency_records
        self._quotas = quotas
        self._cursors = cursors
        self._trail = trail

    async def create(self, name: str) -> Collection:
        """Create an empty collection.

        Raises `CollectionExists`, `QuotaExceeded`, or `PermissionDenied` for a key limited to other collections.
        """
        if not self._collections.may_access(name):
            raise PermissionDenied(
                f"name: your key is limited to certain collections, and {name!r} is not one of them."
            )
        created = await self._collections.add(name)
        if created is None:
            raise CollectionExists(f"A collection named {name!r} already exists.")
        await self._quotas.check(Quota.COLLECTIONS)
        await self._trail.record(AuditAction.COLLECTION_CREATED, f"collection:{name}")
        return created

    async def list(self, request: PageRequest) -> Page[Collection]:
        """List one page of collections, ordered by name."""
        scope = f"{self._collections.tenant_id}/collections"
        after = self._cursors.open(scope, request.cursor, read_text) if request.cursor else None
        found = await self._collections.list_page(after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, last.name))

    async def set_policy(self, name: str, policy: DecisionPolicy | None) -> Collection:
        """Set the accepted false match rates; None restores the default policy. Raises `CollectionNotFound`."""
        row = await self._lock(name)
        values = {
            "max_false_match_rate": policy.max_false_match_rate if policy else None,
            "review_false_match_rate": policy.review_false_match_rate if policy else None,
        }
        await self._collections.set_decisions(row.id, values)
        await self._trail.record(AuditAction.COLLECTION_CHANGED, f"collection:{name}", fields=sorted(values))
        return await self.get(name)

    async def list_names(self, request: PageRequest) -> Page[tuple[str, str | None]]:
        """List one page of names and recognizers, ordered by id so that long names do not lengthen the cursors.

        The recognizer is None for a collection without faces.
        """
        scope = f"{self._collections.tenant_id}/collections-by-id"
        after = self._cursors.open(scope, request.cursor, UUID) if request.cursor else None
        found = await self._collections.list_by_id(after, request.limit + 1)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.id)))
        return Page([(row.name, row.recognizer) for row in page.items], page.next_cursor)

    async def describe(self, name: str) -> tuple[datetime, int]:
        """Return the creation time and the number of templates; raises `CollectionNotFound`."""
        row = require_found(await self._collections.find_row(name), name)
        return row.created_at, await self._collections.count_templates(row.id)

    async def get_tags(self, name: str) -> Mapping[str, str]:
        """Return the collection's tags; raises `CollectionNotFound`."""
        return (await self._lock(name)).tags

    async def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Add tags, replacing those with the same keys; raises `CollectionNotFound` or `QuotaExceeded`."""
        row = await self._lock(name)
        merged = {**row.tags, **tags}
        if len(merged) > MAX_TAGS:
            raise QuotaExceeded(
                f"tags: collection {name!r} would have {len(merged)} tags; the maximum is {MAX_TAGS}.", field="tags"
            )
        await self._set_tags(row, merged)

    async def untag(self, name: str, keys: Sequence[str]) -> None:
        """Remove the tags with these keys; unknown keys are ignored. Raises `CollectionNotFound`."""
        row = await self._lock(name)
        await self._set_tags(row, {key: value for key, value in row.tags.items() if key not in keys})

    async def get(self, name: str) -> Collection:
        """Return one collection with its counts; raises `CollectionNotFound`."""
        return require_found(await self._collections.find(name), name)

    async def delete(self, name: str) -> None:
        """Erase a collection, its subjects and their templates; raises `CollectionNotFound`."""
        found = await self._collections.find(name)
        if found is None or not await self._collections.delete(name):
            raise CollectionNotFound(f"There is no collection {name!r}.")
        await self._idempotency_records.redact_about(name)
        await self._trail.record(
            AuditAction.COLLECTION_ERASED, f"collection:{name}", subjects=found.subjects, faces=found.templates
        )

    async def _lock(self, name: str) -> CollectionRecord:
        return require_found(await self._collections.find_row(name, exclusive=True), name)

    async def _set_tags(self, row: CollectionRecord, tags: Mapping[str, str]) -> None:
        if tags != row.tags:
            await self._collections.set_tags(row.id, tags)
            await self._trail.record(AuditAction.COLLECTION_TAGGED, f"collection:{row.name}", tags=len(tags))
