"""No face is stored without the consent that its tenant demands: every way of storing one asks here."""

from uuid import UUID

from app.errors import ConsentRequired, ConsentWithdrawn
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.subjects import SubjectRepository


class ConsentGate:
    """The database demands the same once more (migration 0009), of whatever stores templates."""

    def __init__(self, subjects: SubjectRepository, policies: PolicyRepository) -> None:
        self._subjects = subjects
        self._policies = policies

    async def require(self, collection_id: UUID, subject: str) -> None:
        """Raises `ConsentWithdrawn` or `ConsentRequired`; the subject's row is held by the caller."""
        found = await self._subjects.find_row(collection_id, subject)
        if found is not None and found.consent_withdrawn_at is not None:
            raise ConsentWithdrawn(
                f"consent: subject {subject!r} withdrew theirs; send the reference of a new one.", field="consent"
            )
        has_consent = found is not None and found.consented_at is not None
        if not has_consent and (await self._policies.get()).consent_required:
            raise ConsentRequired(
                f"consent: your tenant's policy demands a consent, and subject {subject!r} has none.", field="consent"
            )

    async def require_for_anonymous(self) -> None:
        """Raises `ConsentRequired` where the tenant stores nobody without consent: a face nobody named has none."""
        if (await self._policies.get()).consent_required:
            raise ConsentRequired(
                "consent: your tenant's policy demands a consent, and a face stored without saying whose it is has "
                "none; register people with their consent instead.",
                field="consent",
            )
