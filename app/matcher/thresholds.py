"""Turns similarities into a decision; never touches the ranking."""

from app.domain import Candidate, Decision


def decide(similarity: float, threshold: float) -> Decision:
    """A match at or above the threshold."""
    return Decision.MATCH if similarity >= threshold else Decision.NO_MATCH


def decide_candidate(candidate: Candidate, threshold: float) -> Decision:
    """A match where the best template and the subject as a whole both are: one bad photo attracts no stranger."""
    return decide(min(candidate.similarity, candidate.subject_similarity), threshold)
