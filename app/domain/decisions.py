"""What similarities mean: calibrations, policies, candidates and decisions."""

import math
from dataclasses import dataclass
from enum import StrEnum


class Decision(StrEnum):
    """What a similarity means at the threshold in force."""

    MATCH = "match"
    REVIEW = "review"
    """Not certain enough to go by, too similar to pass over: somebody should look."""
    NO_MATCH = "no_match"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject that a probe may show.

    `similarity` is the cosine (-1..1) with its most similar template, which ranks; `subject_similarity` with what its
    templates have in common, which one bad photo cannot raise.
    """

    subject: str
    name: str | None
    similarity: float
    subject_similarity: float


@dataclass(frozen=True, slots=True)
class DecisionPolicy:
    """How often a search of a collection may find a stranger: as a match, and as somebody to look at."""

    max_false_match_rate: float = 1e-3
    review_false_match_rate: float = 5e-2


DEFAULT_POLICY = DecisionPolicy()

ONE_TO_ONE = DecisionPolicy(max_false_match_rate=1e-4, review_false_match_rate=1e-2)
"""For claims and comparisons, stricter than for a search: whoever tries may choose whom to claim to be, and try again.
1 in 10,000 is also what the FIDO Alliance's biometric requirements ask of verification."""

_MIN_OF_MEASURED = 1e-3
"""Of the rarest rate that was measured: three orders of magnitude are a long way to extrapolate."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The cosines that strangers reach: (false-match rate, cosine) pairs, the rates falling and the cosines rising."""

    points: tuple[tuple[float, float], ...]
    source: str
    intervals: tuple[tuple[float, float], ...] = ()
    """Of each point's rate, where it is known: 95%, from the people that it was measured on."""

    @property
    def account(self) -> str:
        """Where it is from, and from where on it is extrapolated."""
        return f"{self.source}; rates below {self.points[-1][0]:g} are extrapolated"

    @property
    def min_reported_rate(self) -> float:
        """The rarest rate that is told of a single comparison: beyond it, extrapolation is arithmetic and no more."""
        return self.points[-1][0] * _MIN_OF_MEASURED

    def similarity_at(self, rate: float) -> float:
        """The cosine at or above which a comparison of strangers lies with this rate.

        Between two points as the logarithm of the rate goes; beyond them on the line through the last two.
        """
        wanted = math.log10(rate)
        rates, cosines = self._axes()
        last = max(1, next((index for index, known in enumerate(rates) if known <= wanted), len(rates) - 1))
        slope = (cosines[last] - cosines[last - 1]) / (rates[last] - rates[last - 1])
        return cosines[last] + slope * (wanted - rates[last])

    def rate_at(self, similarity: float) -> float:
        """The rate at which comparisons of strangers reach this cosine: the inverse, at most 1."""
        rates, cosines = self._axes()
        last = max(1, next((index for index, known in enumerate(cosines) if known >= similarity), len(cosines) - 1))
        slope = (rates[last] - rates[last - 1]) / (cosines[last] - cosines[last - 1])
        return float(10 ** min(0.0, rates[last] + slope * (similarity - cosines[last])))

    def _axes(self) -> tuple[list[float], list[float]]:
        return [math.log10(rate) for rate, _ in self.points], [cosine for _, cosine in self.points]


@dataclass(frozen=True, slots=True)
class GalleryScale:
    """How many templates were compared, and how their collection wants decisions made.

    `calibration` is the collection's own, if it has one for the recognizer in use.
    """

    templates: int
    policy: DecisionPolicy = DEFAULT_POLICY
    calibration: Calibration | None = None


EMPTY = GalleryScale(0)
"""Of a gallery with nothing in it."""
