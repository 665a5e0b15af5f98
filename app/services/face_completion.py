"""Adding what another recogniser makes of stored faces: the same faces, under the same ids, of the same subjects."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from app.domain import Embedding
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateStore
from app.services.consent import ConsentGate


class FaceCompletion:
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
        digest: bytes | None = None,
    ) -> int:
        """Store embeddings, by face and recogniser, of these subjects' faces; how many faces got some.

        What was erased, given to others or embedded by that recogniser meanwhile is left as it is. `digest` is of the
        photo, for faces that have none. Raises `ConsentRequired` or `ConsentWithdrawn` of the subjects.
        """
        held = await self._subjects.hold(owners)
        for row in held:
            if row.is_anonymous:
                await self._consent.demand_of_nobody_known()
            else:
                await self._consent.demand(collection_id, row.subject)
        return await self._templates.add_to(
            embeddings, collection_id=collection_id, owners={row.id for row in held}, source=source, digest=digest
        )
