"""Choose the thresholds of a decision: the caller's, the operator's, or those of the collection's policy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.domain.decisions import ONE_TO_ONE, Calibration, GalleryScale
from app.matcher.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class DecisionMaker:
    """Derive thresholds.

    `calibrations` holds each recognizer's own; `fixed` is the operator's threshold for all decisions, if set.
    """

    calibrations: Mapping[str, Calibration]
    fixed: float | None = None

    def thresholds(self, recognizer: str, scale: GalleryScale, explicit: float | None) -> Thresholds:
        """Return the thresholds for a 1:N search; `explicit` is the caller's threshold and takes precedence."""
        fixed = self.fixed if explicit is None else explicit
        calibration = scale.calibration or self.calibrations[recognizer]
        return Thresholds.from_policy(calibration, scale.policy, scale.templates, fixed)

    def one_to_one(self, recognizer: str, scale: GalleryScale, explicit: float | None) -> Thresholds:
        """Return the thresholds for a comparison with one subject's templates or with the faces of a photo."""
        return self.thresholds(recognizer, replace(scale, policy=ONE_TO_ONE), explicit)
