"""Add another recognizer's templates to stored faces, keeping face ids and subjects."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.faces import Embedding
from app.errors import AppError, ConsentRequired, ConsentWithdrawn
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateStore
from app.services.people.consent import ConsentGate


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """The number of faces that got a template, and whether faces were skipped because consent is missing."""

    faces: int
    has_skipped: bool = False


class TemplateCompletion:
    """Add templates to faces that are stored already; never adds a face."""

    def __init__(self, subjects: SubjectRepository, templates: TemplateStore, consent_gate: ConsentGate) -> None:
        self._subjects = subjects
        self._templates = templates
        self._consent = consent_gate

    async def add(
        self,
        collection_id: UUID,
        owners: Sequence[UUID],
        embeddings: Mapping[UUID, Mapping[str, Embedding]],
        *,
        source: str,
        also_into: Iterable[str] = (),
    ) -> CompletionResult:
        """Store embeddings, by face id and recognizer, of faces that belong to `owners`.

        Skips faces that were erased, moved to other subjects or already embedded meanwhile, and faces of subjects whose
        consent is missing. `also_into` names the recognizers whose galleries the same transaction stores in later, so
        that they are locked in order. Raises `ConsentRequired` or `ConsentWithdrawn` if no subject remains.
        """
        locked = await self._subjects.lock(owners)
        agreed, refused = [], list[AppError]()
        for row in locked:
            try:
                await self._consent.require(collection_id, row.subject)
            except (ConsentRequired, ConsentWithdrawn) as exc:
                refused.append(exc)
            else:
                agreed.append(row.id)
        if refused and not agreed:
            raise refused[0]
        galleries = list(also_into)
        if galleries:
            await self._templates.lock_galleries(collection_id, galleries)
        done = await self._templates.add_missing(
            embeddings, collection_id=collection_id, subject_ids=agreed, source=source
        )
        return CompletionResult(done, bool(refused))
