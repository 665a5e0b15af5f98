"""Collections: create, list, read, erase."""

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
from app.security.cursors import CursorSigner
from app.services.audit.trail import AuditAction, AuditTrail
from app.services.paging import Page, PageRequest, cut_page
from app.services.tenancy.quotas import QuotaService

T = TypeVar("T")

MAX_TAGS = 200


def require_found(row: T | None, name: str) -> T:
    """What was found of a collection; raises `CollectionNotFound` where that is nothing."""
    if row is None:
        raise CollectionNotFound(f"There is no collection {name!r}.")
    return row


class CollectionService:
    """The collections of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionRepository,
        answers: IdempotencyRecords,
        quotas: QuotaService,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        self._collections = collections
        self._idempotency_records = answers
        self._quotas = quotas
        self._cursors = cursors
        self._trail = trail

    async def create(self, name: str) -> Collection:
        """Create an empty collection; raises `CollectionExists`, `QuotaExceeded`, or `PermissionDenied` to a key."""
        if not self._collections.may_hold(name):
            raise PermissionDenied(f"Your key is limited to other collections than {name!r}.")
        created = await self._collections.add(name)
        if created is None:
            raise CollectionExists(f"There is a collection {name!r} already.")
        await self._quotas.check(Quota.COLLECTIONS)
        await self._trail.record(AuditAction.COLLECTION_CREATED, f"collection:{name}")
        return created

    async def list(self, request: PageRequest) -> Page[Collection]:
        """One page of collections, by name."""
        scope = f"{self._collections.tenant_id}/collections"
        after = self._cursors.open(scope, request.cursor) if request.cursor else None
        found = await self._collections.list_page(after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, last.name))

    async def set_policy(self, name: str, policy: DecisionPolicy | None) -> Collection:
        """Say how often a search may be wrong; None: as by default. Raises `CollectionNotFound`."""
        row = await self._held(name)
        values = {
            "max_false_match_rate": policy.max_false_match_rate if policy else None,
            "review_false_match_rate": policy.review_false_match_rate if policy else None,
        }
        await self._collections.set_decisions(row.id, values)
        await self._trail.record(AuditAction.COLLECTION_CHANGED, f"collection:{name}", fields=sorted(values))
        return await self.get(name)

    async def list_names(self, request: PageRequest) -> Page[tuple[str, str | None]]:
        """One page of collections' names and recognizers, by id: with cursors that stay short whatever the names are.

        Without a recognizer, the collection has no faces.
        """
        scope = f"{self._collections.tenant_id}/collections-by-id"
        after = UUID(self._cursors.open(scope, request.cursor)) if request.cursor else None
        found = await self._collections.list_by_id(after, request.limit + 1)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.id)))
        return Page([(row.name, row.recognizer) for row in page.items], page.next_cursor)

    async def describe(self, name: str) -> tuple[datetime, int]:
        """Since when a collection is there and how many templates it has; raises `CollectionNotFound`."""
        row = require_found(await self._collections.find_row(name), name)
        return row.created_at, await self._collections.count_templates(row.id)

    async def get_tags(self, name: str) -> Mapping[str, str]:
        """The collection's tags; raises `CollectionNotFound`."""
        return (await self._held(name)).tags

    async def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags, in the place of those of the same keys; raises `QuotaExceeded`."""
        row = await self._held(name)
        together = {**row.tags, **tags}
        if len(together) > MAX_TAGS:
            raise QuotaExceeded(f"Tags: {len(together)} on collection {name!r}; at most {MAX_TAGS} are kept.")
        await self._set_tags(row, together)

    async def untag(self, name: str, keys: Sequence[str]) -> None:
        """Take away the tags of these keys, those that are there."""
        row = await self._held(name)
        await self._set_tags(row, {key: value for key, value in row.tags.items() if key not in keys})

    async def get(self, name: str) -> Collection:
        """One collection with its counts; raises `CollectionNotFound`."""
        return require_found(await self._collections.find(name), name)

    async def delete(self, name: str) -> None:
        """Erase a collection, its subjects and their templates; raises `CollectionNotFound`."""
        held = await self._collections.find(name)
        if held is None or not await self._collections.delete(name):
            raise CollectionNotFound(f"There is no collection {name!r}.")
        await self._idempotency_records.forget_about(name)
        await self._trail.record(
            AuditAction.COLLECTION_ERASED, f"collection:{name}", subjects=held.subjects, faces=held.templates
        )

    async def _held(self, name: str) -> CollectionRecord:
        return require_found(await self._collections.find_row(name, change=True), name)

    async def _set_tags(self, row: CollectionRecord, tags: Mapping[str, str]) -> None:
        if tags != row.tags:
            await self._collections.set_tags(row.id, tags)
            await self._trail.record(AuditAction.COLLECTION_TAGGED, f"collection:{row.name}", tags=len(tags))
