"""Switch collections to other recognizers, and report how far each recognizer covers a collection."""

from dataclasses import dataclass

from app.domain.collections import CollectionRecord, Coverage, Recognizers
from app.errors import RecognizerIncomplete, RecognizerInUse, RecognizerNotFound
from app.persistence.repositories.album_people import AlbumPeopleRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.recognizers import RecognizerRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.security.cursors import CursorSigner, read_text
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.collections.collections import require_found
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.paging import Page, PageRequest, cut_page


@dataclass(frozen=True, slots=True)
class RecognizerStatus:
    """A recognizer that is loaded or has embedded faces of the collection; `pack` is None if it is not loaded."""

    recognizer: str
    pack: str | None
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class RecognizerOverview:
    """The recognizer in use, the secondary one, and the coverage of all recognizers of a collection."""

    in_use: str
    secondary: str | None
    recognizers: list[RecognizerStatus]


class CollectionRecognizerService:
    """Manage the recognizers of the collections of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionRepository,
        recognizers: RecognizerRepository,
        looked_for: AlbumPeopleRepository,
        subjects: SubjectRepository,
        idempotency_records: IdempotencyRecords,
        cursors: CursorSigner,
        trail: AuditTrail,
        directory: RecognizerDirectory,
    ) -> None:
        self._collections = collections
        self._recognizers = recognizers
        self._looked_for = looked_for
        self._subjects = subjects
        self._idempotency_records = idempotency_records
        self._cursors = cursors
        self._trail = trail
        self._directory = directory

    async def get(self, collection: str) -> RecognizerOverview:
        """Describe the collection's recognizers; raises `CollectionNotFound`."""
        return await self._describe(require_found(await self._collections.find_row(collection), collection))

    async def list_missing(self, collection: str, recognizer: str, request: PageRequest) -> Page[str]:
        """List one page of the subjects that searches would no longer find after a switch to `recognizer`.

        Raises `CollectionNotFound`.
        """
        row = require_found(await self._collections.find_row(collection), collection)
        in_use = self._directory.in_use(row.recognizer)
        scope = f"{self._collections.tenant_id}/collections/{row.id}/missing/{recognizer}"
        after = self._cursors.open(scope, request.cursor, read_text) if request.cursor else None
        found = await self._recognizers.list_missing(row.id, in_use, recognizer, after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, last))

    async def choose(self, collection: str, chosen: Recognizers, *, accept_missing: bool) -> RecognizerOverview:
        """Set the recognizer in use and the secondary one; waits for running registrations.

        Raises `CollectionNotFound`, `InvalidParameter` for a recognizer that is not loaded, or `RecognizerIncomplete`
        if searches would no longer find some subjects and `accept_missing` is not set.
        """
        row = require_found(await self._collections.lock_row(collection), collection)
        before = Recognizers(self._directory.in_use(row.recognizer), row.secondary_recognizer)
        if chosen.in_use != before.in_use:
            self._directory.require(chosen.in_use, "in_use")
            missing = await self._recognizers.count_missing(row.id, before.in_use, chosen.in_use)
            if missing and not accept_missing:
                raise RecognizerIncomplete(
                    f"in_use: {missing} subjects of collection {collection!r} have templates of {before.in_use!r} but "
                    f"none of {chosen.in_use!r}, so searches would not find them. Migrate them first (vultus models "
                    f"migrate), or set accept_missing (--accept-missing of the command)."
                )
        if chosen.secondary is not None and chosen.secondary != before.secondary:
            self._directory.require(chosen.secondary, "secondary")
        if chosen != before or row.recognizer is None:
            await self._collections.set_recognizers(row.id, chosen)
            if chosen.in_use != before.in_use:
                await self._looked_for.restart(row.id)
            await self._trail.record(
                AuditAction.RECOGNIZERS_CHANGED,
                f"collection:{collection}",
                in_use=chosen.in_use,
                secondary=chosen.secondary,
            )
        return await self.get(collection)

    async def erase(self, collection: str, recognizer: str, *, accept_missing: bool) -> None:
        """Erase a recognizer's templates of the collection.

        Raises `CollectionNotFound`, `RecognizerNotFound`, `RecognizerInUse` if it is in use or secondary, or
        `RecognizerIncomplete` if subjects would lose their last templates and `accept_missing` is not set.
        """
        row = require_found(await self._collections.lock_row(collection), collection)
        in_use = self._directory.in_use(row.recognizer)
        if recognizer in (in_use, row.secondary_recognizer):
            raise RecognizerInUse(
                f"Collection {collection!r} uses the recognizer {recognizer!r}; switch it to another one first."
            )
        missing = await self._recognizers.count_missing(row.id, recognizer, in_use)
        if missing and not accept_missing:
            raise RecognizerIncomplete(
                f"{missing} subjects of collection {collection!r} have templates of {recognizer!r} but none of "
                f"{in_use!r}, the recognizer in use, so they would lose their last templates. Set accept_missing "
                f"(--accept-missing of the command) to erase them anyway."
            )
        await self._subjects.lock_anonymous_with(row.id, recognizer)  # lock order: subjects before faces
        erased = await self._recognizers.delete(row.id, recognizer)
        if not erased:
            raise RecognizerNotFound(f"Collection {collection!r} has no faces of {recognizer!r}.")
        await self._subjects.delete_empty_anonymous_in(row.id)
        if row.calibration is not None and row.calibration["recognizer"] == recognizer:
            await self._collections.set_decisions(row.id, {"calibration": None})
        if missing:
            await self._idempotency_records.redact_about(collection)
        await self._trail.record(
            AuditAction.RECOGNIZER_ERASED, f"collection:{collection}", recognizer=recognizer, faces=erased
        )

    async def _describe(self, row: CollectionRecord) -> RecognizerOverview:
        in_use = self._directory.in_use(row.recognizer)
        coverage = await self._recognizers.get_coverage(row.id)
        chosen = Recognizers(in_use, row.secondary_recognizer).all
        names = dict.fromkeys((*chosen, *self._directory.loaded, *sorted(coverage)))
        return RecognizerOverview(
            in_use,
            row.secondary_recognizer,
            [
                RecognizerStatus(name, self._directory.find_pack(name), coverage.get(name, Coverage(0, 0)))
                for name in names
            ],
        )
