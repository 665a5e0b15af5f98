"""Adding what another recognizer makes of stored faces: the same faces, under the same ids, of the same subjects."""

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
    """How many faces got a template, and whether some were left out for want of a consent."""

    faces: int
    has_left_out: bool = False


class TemplateCompletion:
    """Stores templates of faces that are there; of nobody else."""

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
        """Store embeddings, by face and recognizer, of these subjects' faces.

        What was erased, given to others or embedded by that recognizer meanwhile is left as it is, and so are the faces
        of subjects without a consent that is needed. `also_into`: the recognizers whose galleries the same transaction
        stores in afterwards. Raises `ConsentRequired` or `ConsentWithdrawn` where nobody is left.
        """
        held = await self._subjects.lock(owners)
        agreed, refused = [], list[AppError]()
        for row in held:
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
        done = await self._templates.add_to(embeddings, collection_id=collection_id, owners=agreed, source=source)
        return CompletionResult(done, bool(refused))
