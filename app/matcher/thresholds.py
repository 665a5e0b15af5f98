"""Turns similarities into decisions and false-match rates; never affects the ranking.

A search of a gallery with N templates makes N comparisons. If an impostor pair reaches a similarity at the rate f, a
search of a person who is not enrolled finds a candidate of at least that similarity at the rate 1 - (1 - f)^N. A
collection's policy limits this rate, the false-match rate of a search (FPIR), so its thresholds rise as it grows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.decisions import Calibration, Candidate, Decision, DecisionLimit, DecisionPolicy

_MAX_THRESHOLD = 0.999

_CHANCE = 0.5
"""The false-match rate of a search from which on a match says nothing."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The similarities from which a candidate is a match or needs a review, and the rates that belong to similarities.

    They hold for a search with `comparisons` comparisons. All rates are false-match rates of the whole search, 0..1.
    """

    match: float
    review: float
    comparisons: int
    calibration: Calibration

    @classmethod
    def from_policy(
        cls, calibration: Calibration, policy: DecisionPolicy, comparisons: int, explicit: float | None = None
    ) -> "Thresholds":
        """Derive both thresholds from the policy's rates; an `explicit` similarity replaces both.

        An explicit similarity that one stranger in two would reach decides on reviews only: matches begin above it.
        """
        if explicit is not None:
            rate = _rate_per_comparison(_CHANCE, max(1, comparisons))
            return cls(max(explicit, calibration.similarity_at(rate)), explicit, comparisons, calibration)
        match, review = (
            max(-1.0, min(_MAX_THRESHOLD, calibration.similarity_at(_rate_per_comparison(rate, max(1, comparisons)))))
            for rate in (policy.max_false_match_rate, policy.review_false_match_rate)
        )
        return cls(match, min(review, match), comparisons, calibration)

    @property
    def false_match_rate(self) -> float:
        """The rate at which a search of a person who is not enrolled ends in a match."""
        return self.false_match_rate_at(self.match)

    def false_match_rate_at(self, similarity: float) -> float:
        """Return the rate at which such a search finds a candidate of at least this similarity."""
        return self._rate_of_search(self.calibration.rate_at(similarity))

    def reported_false_match_rate(self, similarity: float) -> float:
        """Return the rate shown to callers, clamped to what the calibration supports.

        A comparison rate below `Calibration.min_reported_rate` is raised to it, but not above the rate at the match
        threshold.
        """
        rate, min_rate = self.calibration.rate_at(similarity), self.calibration.min_reported_rate
        if rate >= min_rate:
            return self._rate_of_search(rate)
        return max(self._rate_of_search(rate), min(self._rate_of_search(min_rate), self.false_match_rate))

    def _rate_of_search(self, rate: float) -> float:
        """Return the rate of a search from the rate of one comparison: 1 - (1 - rate)^comparisons."""
        return max(0.0, -math.expm1(self.comparisons * math.log1p(-min(rate, 1 - 1e-12))))

    def decide(self, similarity: float) -> Decision:
        if similarity >= self.match:
            return Decision.MATCH
        return Decision.REVIEW if similarity >= self.review else Decision.NO_MATCH


@dataclass(frozen=True, slots=True)
class DecidedCandidate:
    """A candidate with its decision, and the rate at which impostors find a candidate of at least its similarity."""

    candidate: Candidate
    decision: Decision
    false_match_rate: float | None
    """None if the decision is limited: the rate was not measured for faces of such quality."""
    limits: tuple[DecisionLimit, ...] = ()


def decide_candidate(
    candidate: Candidate, thresholds: Thresholds, *, is_probe_reliable: bool = True
) -> DecidedCandidate:
    """Decide by the lower of a candidate's two similarities, so that one bad photo of a subject matches no stranger.

    Faces of low quality resemble each other. If the probe is one, or if only such templates make the candidate a match,
    the decision is `review` at most.
    """
    decision = thresholds.decide(min(candidate.similarity, candidate.subject_similarity))
    limits = () if is_probe_reliable else (DecisionLimit.PROBE_QUALITY,)
    reliable = candidate.reliable_similarity
    if reliable is not None and thresholds.decide(min(reliable, candidate.subject_similarity)) is not decision:
        limits = (*limits, DecisionLimit.TEMPLATE_QUALITY)
    return DecidedCandidate(candidate, *limit_decision(decision, candidate.similarity, thresholds, limits))


def limit_decision(
    decision: Decision, similarity: float, thresholds: Thresholds, limits: tuple[DecisionLimit, ...]
) -> tuple[Decision, float | None, tuple[DecisionLimit, ...]]:
    """Return the decision under these limits, the false-match rate that may be stated, and the limits."""
    if not limits:
        return decision, thresholds.reported_false_match_rate(similarity), ()
    return (Decision.REVIEW if decision is Decision.MATCH else decision), None, limits


def decide_all(
    candidates: Sequence[Candidate], thresholds: Thresholds, *, is_probe_reliable: bool = True
) -> list[DecidedCandidate]:
    """Decide every candidate; none is left out."""
    return [decide_candidate(candidate, thresholds, is_probe_reliable=is_probe_reliable) for candidate in candidates]


def _rate_per_comparison(rate: float, comparisons: int) -> float:
    """Return the rate of one comparison at which a search of this many comparisons has the given rate."""
    return -math.expm1(math.log1p(-rate) / comparisons)
