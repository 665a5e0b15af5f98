"""Which thresholds decide: the caller's, the operator's, or those that follow from the collection's policy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.domain.decisions import ONE_TO_ONE, Calibration, GalleryScale
from app.matcher.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class DecisionMaker:
    """`calibrations` are the recognizers'; `fixed`, where the operator set one threshold for everything."""

    calibrations: Mapping[str, Calibration]
    fixed: float | None = None

    def thresholds(self, recognizer: str, scale: GalleryScale, explicit: float | None) -> Thresholds:
        """For a search of a gallery; `explicit` is what the caller asked for."""
        fixed = self.fixed if explicit is None else explicit
        calibration = scale.calibration or self.calibrations[recognizer]
        return Thresholds.of(calibration, scale.policy, scale.templates, fixed)

    def one_to_one(self, recognizer: str, scale: GalleryScale, explicit: float | None) -> Thresholds:
        """For comparing with one subject's templates, or with the faces of a photo."""
        return self.thresholds(recognizer, replace(scale, policy=ONE_TO_ONE), explicit)
