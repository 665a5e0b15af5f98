"""Check consent before any face is stored."""

from uuid import UUID

from app.domain.people import ConsentState
from app.errors import ConsentRequired, ConsentWithdrawn
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.subjects import SubjectRepository


class ConsentGate:
    """Enforce the tenant's consent policy; the database enforces it again for every template (migration 0009)."""

    def __init__(self, subjects: SubjectRepository, policies: PolicyRepository) -> None:
        self._subjects = subjects
        self._policies = policies

    async def require(self, collection_id: UUID, subject: str) -> None:
        """Raise `ConsentWithdrawn` or `ConsentRequired` if the subject's faces may not be stored.

        Lock the subject's row first.
        """
        found = await self._subjects.find_row(collection_id, subject)
        is_given = found is not None and found.consented_at is not None
        is_withdrawn = found is not None and found.consent_withdrawn_at is not None
        is_required = not is_given and (await self._policies.get()).consent_required
        refuse_missing_consent(subject, ConsentState(is_given, is_withdrawn, is_required))

    async def require_for_anonymous(self) -> None:
        """Raise `ConsentRequired` if the tenant's policy requires consent, which anonymous faces cannot have."""
        if (await self._policies.get()).consent_required:
            raise ConsentRequired(
                "consent: your tenant's policy requires consent, which anonymous faces cannot have; register subjects "
                "with their consent instead.",
                field="consent",
            )


def refuse_missing_consent(subject: str, consent: ConsentState) -> None:
    """Raise `ConsentWithdrawn` or `ConsentRequired` if the subject's faces may not be stored."""
    if consent.is_withdrawn:
        raise ConsentWithdrawn(
            f"consent: subject {subject!r} withdrew the consent; send the reference of a new one.", field="consent"
        )
    if consent.is_required and not consent.is_given:
        raise ConsentRequired(
            f"consent: your tenant's policy requires consent, but subject {subject!r} has none; send a reference.",
            field="consent",
        )
