"""Turns similarities into decisions and error rates; never touches the ranking.

A search of a gallery of N templates compares N times. Where one comparison of strangers reaches a similarity at the
rate f, a search of somebody who is not there finds a stranger of at least that similarity at about 1 - (1 - f)^N: the
gallery's false-match rate. A collection says how often that may happen, so its thresholds rise as it grows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.decisions import Calibration, Candidate, Decision, DecisionPolicy

_HIGHEST = 0.999


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which similarity on it is a match, and from which on somebody should look; after so many comparisons."""

    match: float
    review: float
    comparisons: int
    calibration: Calibration

    @classmethod
    def of(
        cls, calibration: Calibration, policy: DecisionPolicy, comparisons: int, explicit: float | None = None
    ) -> "Thresholds":
        """Those of a policy; `explicit` takes their place."""
        if explicit is not None:
            return cls(explicit, explicit, comparisons, calibration)
        match, review = (
            max(-1.0, min(_HIGHEST, calibration.similarity_at(_each(rate, max(1, comparisons)))))
            for rate in (policy.max_false_match_rate, policy.review_false_match_rate)
        )
        return cls(match, min(review, match), comparisons, calibration)

    @property
    def false_match_rate(self) -> float:
        """How often a search of a stranger ends in a match."""
        return self.false_match_rate_at(self.match)

    def false_match_rate_at(self, similarity: float) -> float:
        """How often a search of a stranger finds somebody at least so similar."""
        return self._of_all(self.calibration.rate_at(similarity))

    def reported_false_match_rate(self, similarity: float) -> float:
        """The rate shown to callers, clamped to what the calibration supports.

        It is never below `Calibration.min_reported_rate`, except as far as a match's own allowed rate is.
        """
        each, least = self.calibration.rate_at(similarity), self.calibration.min_reported_rate
        if each >= least:
            return self._of_all(each)
        return max(self._of_all(each), min(self._of_all(least), self.false_match_rate))

    def _of_all(self, each: float) -> float:
        return max(0.0, -math.expm1(self.comparisons * math.log1p(-min(each, 1 - 1e-12))))

    def decide(self, similarity: float) -> Decision:
        """What the similarity means."""
        if similarity >= self.match:
            return Decision.MATCH
        return Decision.REVIEW if similarity >= self.review else Decision.NO_MATCH


@dataclass(frozen=True, slots=True)
class DecidedCandidate:
    """A candidate, what its similarities mean, and how often a stranger would be found at least so similar."""

    candidate: Candidate
    decision: Decision
    false_match_rate: float


def decide_candidate(candidate: Candidate, thresholds: Thresholds) -> DecidedCandidate:
    """Best template and subject as a whole must both reach a threshold: one bad photo attracts no stranger."""
    decision = thresholds.decide(min(candidate.similarity, candidate.subject_similarity))
    return DecidedCandidate(candidate, decision, thresholds.reported_false_match_rate(candidate.similarity))


def decide_all(candidates: Sequence[Candidate], thresholds: Thresholds) -> list[DecidedCandidate]:
    """Each candidate with its decision; none is left out."""
    return [decide_candidate(candidate, thresholds) for candidate in candidates]


def _each(rate: float, comparisons: int) -> float:
    """The rate of one comparison that so many of them make up this rate."""
    return -math.expm1(math.log1p(-rate) / comparisons)
