"""Turns a similarity into a decision; never touches the ranking."""

from app.domain import Decision


def decide(similarity: float, threshold: float) -> Decision:
    """A match at or above the threshold."""
    return Decision.MATCH if similarity >= threshold else Decision.NO_MATCH
