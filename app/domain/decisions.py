"""Decisions on similarities: calibrations, policies, candidates."""

import math
from dataclasses import dataclass
from enum import StrEnum

from app.domain.people import MatchedFace


class Decision(StrEnum):
    """The decision on a similarity at the thresholds in use."""

    MATCH = "match"
    REVIEW = "review"
    """Below the match threshold but above the review threshold: a person should decide."""
    NO_MATCH = "no_match"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject that may be the person in a probe.

    `similarity` is the cosine (-1..1) with the subject's most similar template; candidates are ranked by it.
    `subject_similarity` is the cosine with what the subject's templates have in common; a single bad photo cannot raise
    it.
    """

    subject: str
    name: str | None
    similarity: float
    subject_similarity: float
    reliable_similarity: float | None = None
    """The cosine with the most similar template of reliable quality; None if all of them are reliable."""
    face: MatchedFace | None = None
    """The stored face of the most similar template."""


class DecisionLimit(StrEnum):
    """Why a decision is `review` at most, and no false-match rate is stated: the rates hold for reliable faces only."""

    PROBE_QUALITY = "probe_quality"
    TEMPLATE_QUALITY = "template_quality"


@dataclass(frozen=True, slots=True)
class DecisionPolicy:
    """The false-match rates that a search of a collection may have, for matches and for reviews (0..1)."""

    max_false_match_rate: float = 1e-3
    review_false_match_rate: float = 5e-2


DEFAULT_POLICY = DecisionPolicy()

ONE_TO_ONE = DecisionPolicy(max_false_match_rate=1e-4, review_false_match_rate=1e-2)
"""For verification and comparison, stricter than for a search: an impostor can choose the claimed subject and retry.
The FIDO Alliance's biometric requirements also demand at most 1 in 10,000 for verification."""

_MAX_EXTRAPOLATION = 1e-3
"""Reported rates go down to this fraction of the lowest measured rate: three orders of magnitude."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The similarities of impostor pairs: (false-match rate, cosine) points, rates falling and cosines rising."""

    points: tuple[tuple[float, float], ...]
    source: str
    intervals: tuple[tuple[float, float], ...] = ()
    """95% confidence interval (low, high) of each point's rate, over the measured people; empty if unknown."""

    @property
    def description(self) -> str:
        """The calibration's source, and the rate below which it is extrapolated."""
        return f"{self.source}; rates below {self.points[-1][0]:g} are extrapolated"

    @property
    def min_reported_rate(self) -> float:
        """The lowest rate that callers are shown; below it, the extrapolation has no empirical support."""
        return self.points[-1][0] * _MAX_EXTRAPOLATION

    def similarity_at(self, rate: float) -> float:
        """Return the cosine that impostor pairs reach or exceed at this false-match rate (0..1).

        Interpolates the cosine linearly in the logarithm of the rate; beyond the points it extrapolates the last two.
        """
        log_rate = math.log10(rate)
        rates, cosines = self._axes()
        last = max(1, next((index for index, point in enumerate(rates) if point <= log_rate), len(rates) - 1))
        slope = (cosines[last] - cosines[last - 1]) / (rates[last] - rates[last - 1])
        return cosines[last] + slope * (log_rate - rates[last])

    def rate_at(self, similarity: float) -> float:
        """Return the false-match rate at this cosine, at most 1: the inverse of `similarity_at`."""
        rates, cosines = self._axes()
        last = max(1, next((index for index, point in enumerate(cosines) if point >= similarity), len(cosines) - 1))
        slope = (rates[last] - rates[last - 1]) / (cosines[last] - cosines[last - 1])
        return float(10 ** min(0.0, rates[last] + slope * (similarity - cosines[last])))

    def _axes(self) -> tuple[list[float], list[float]]:
        return [math.log10(rate) for rate, _ in self.points], [cosine for _, cosine in self.points]


@dataclass(frozen=True, slots=True)
class GalleryScale:
    """What thresholds depend on: the number of compared templates and the collection's policy.

    `calibration` is the collection's own; None if it has none for the recognizer in use.
    """

    templates: int
    policy: DecisionPolicy = DEFAULT_POLICY
    calibration: Calibration | None = None


EMPTY_SCALE = GalleryScale(0)
"""The scale of an empty gallery."""
