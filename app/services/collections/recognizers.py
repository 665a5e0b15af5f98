"""Going over to another recognizer, and back, collection by collection."""

from dataclasses import dataclass

from app.domain.collections import CollectionRecord, Coverage, Recognizers
from app.errors import RecognizerIncomplete, RecognizerInUse, RecognizerNotFound
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.recognizers import RecognizerRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.security.cursors import CursorSigner
from app.services.audit.trail import AuditAction, AuditTrail
from app.services.collections.collections import require_found
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.paging import Page, PageRequest, cut_page


@dataclass(frozen=True, slots=True)
class KnownRecognizer:
    """A recognizer that the server has or the collection has faces of; `pack` where it is loaded."""

    recognizer: str
    pack: str | None
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class RecognizerOverview:
    """What a collection is searched with, stored with as well, and how far each recognizer is."""

    in_use: str
    secondary: str | None
    known: list[KnownRecognizer]


class CollectionRecognizerService:
    """Which recognizers the collections of the caller's tenant are searched and stored with."""

    def __init__(
        self,
        collections: CollectionRepository,
        recognizers: RecognizerRepository,
        subjects: SubjectRepository,
        answers: IdempotencyRecords,
        cursors: CursorSigner,
        trail: AuditTrail,
        directory: RecognizerDirectory,
    ) -> None:
        self._collections = collections
        self._recognizers = recognizers
        self._subjects = subjects
        self._idempotency_records = answers
        self._cursors = cursors
        self._trail = trail
        self._directory = directory

    async def get(self, collection: str) -> RecognizerOverview:
        """How it stands; raises `CollectionNotFound`."""
        return await self._describe(require_found(await self._collections.find_row(collection), collection))

    async def list_missing(self, collection: str, recognizer: str, request: PageRequest) -> Page[str]:
        """One page of the subjects that are searched now, and would not be with another recognizer; by their ids."""
        row = require_found(await self._collections.find_row(collection), collection)
        in_use = self._directory.in_use(row.recognizer)
        scope = f"{self._collections.tenant_id}/collections/{row.id}/missing/{recognizer}"
        after = self._cursors.open(scope, request.cursor) if request.cursor else None
        found = await self._recognizers.list_missing(row.id, in_use, recognizer, after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, last))

    async def choose(self, collection: str, wanted: Recognizers, *, accept_missing: bool) -> RecognizerOverview:
        """Search with one from now on, store with both.

        Whoever registers meanwhile is waited for. Raises `CollectionNotFound`, `InvalidParameter` for a recognizer that
        is not loaded, and `RecognizerIncomplete` where subjects would not be found any more and that is not accepted.
        """
        row = require_found(await self._collections.lock_row(collection), collection)
        before = Recognizers(self._directory.in_use(row.recognizer), row.secondary_recognizer)
        if wanted.in_use != before.in_use:
            self._directory.require(wanted.in_use, "in_use")
            missing = await self._recognizers.count_missing(row.id, before.in_use, wanted.in_use)
            if missing and not accept_missing:
                raise RecognizerIncomplete(
                    f"in_use: {missing} subjects of collection {collection!r} have faces of {before.in_use!r} and none "
                    f"of {wanted.in_use!r}: no search would find them. Store those first (vultus models migrate), or "
                    f"accept it (accept_missing, or --accept-missing of the command)."
                )
        if wanted.secondary is not None and wanted.secondary != before.secondary:
            self._directory.require(wanted.secondary, "secondary")
        if wanted != before or row.recognizer is None:
            await self._collections.set_recognizers(row.id, wanted)
            await self._trail.record(
                AuditAction.RECOGNIZERS_CHANGED,
                f"collection:{collection}",
                in_use=wanted.in_use,
                secondary=wanted.secondary,
            )
        return await self.get(collection)

    async def erase(self, collection: str, recognizer: str, *, accept_missing: bool) -> None:
        """Erase what a recognizer made of the collection's faces.

        Raises `CollectionNotFound`, `RecognizerNotFound`, `RecognizerInUse` for one that is searched or stored with,
        and `RecognizerIncomplete` where somebody would be left without a face and that is not accepted.
        """
        row = require_found(await self._collections.lock_row(collection), collection)
        in_use = self._directory.in_use(row.recognizer)
        if recognizer in (in_use, row.secondary_recognizer):
            raise RecognizerInUse(f"Collection {collection!r} is searched or stored with {recognizer!r}.")
        missing = await self._recognizers.count_missing(row.id, recognizer, in_use)
        if missing and not accept_missing:
            raise RecognizerIncomplete(
                f"{missing} subjects of collection {collection!r} have faces of {recognizer!r} and none of {in_use!r}, "
                f"which is in use: nothing of them would be left to search. accept_missing (--accept-missing of the "
                f"command) erases them all the same."
            )
        await self._subjects.lock_anonymous_with(row.id, recognizer)  # subjects come before faces in all that locks
        erased = await self._recognizers.erase(row.id, recognizer)
        if not erased:
            raise RecognizerNotFound(f"Collection {collection!r} has no faces of {recognizer!r}.")
        await self._subjects.drop_empty_anonymous_of(row.id)
        if row.calibration is not None and row.calibration["recognizer"] == recognizer:
            await self._collections.set_decisions(row.id, {"calibration": None})
        if missing:
            await self._idempotency_records.forget_about(collection)
        await self._trail.record(
            AuditAction.RECOGNIZER_ERASED, f"collection:{collection}", recognizer=recognizer, faces=erased
        )

    async def _describe(self, row: CollectionRecord) -> RecognizerOverview:
        in_use = self._directory.in_use(row.recognizer)
        covered = await self._recognizers.count(row.id)
        chosen = Recognizers(in_use, row.secondary_recognizer).all
        names = dict.fromkeys((*chosen, *self._directory.loaded, *sorted(covered)))
        return RecognizerOverview(
            in_use,
            row.secondary_recognizer,
            [
                KnownRecognizer(name, self._directory.find_pack(name), covered.get(name, Coverage(0, 0)))
                for name in names
            ],
        )
