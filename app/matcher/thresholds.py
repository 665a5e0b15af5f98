"""Turns similarities into a decision; never touches the ranking."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain import Candidate, Decision


@dataclass(frozen=True, slots=True)
class DecidedCandidate:
    """A candidate and what its similarities mean."""

    candidate: Candidate
    decision: Decision


def decide(similarity: float, threshold: float) -> Decision:
    """A match at or above the threshold."""
    return Decision.MATCH if similarity >= threshold else Decision.NO_MATCH


def decide_candidate(candidate: Candidate, threshold: float) -> Decision:
    """A match where the best template and the subject as a whole both are: one bad photo attracts no stranger."""
    return decide(min(candidate.similarity, candidate.subject_similarity), threshold)


def decide_all(candidates: Sequence[Candidate], threshold: float) -> list[DecidedCandidate]:
    """Each candidate with its decision; none is left out."""
    return [DecidedCandidate(candidate, decide_candidate(candidate, threshold)) for candidate in candidates]
