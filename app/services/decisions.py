"""Which thresholds decide: the caller's, the operator's, or those that follow from the collection's policy."""

from dataclasses import dataclass, replace

from app.domain import ONE_TO_ONE, Calibration, GalleryScale
from app.matcher.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class DecisionMaker:
    """`calibration` is the recogniser's; `fixed`, where the operator set one threshold for everything."""

    calibration: Calibration
    fixed: float | None = None

    def thresholds(self, scale: GalleryScale, explicit: float | None) -> Thresholds:
        """For a search of a gallery; `explicit` is what the caller asked for."""
        fixed = self.fixed if explicit is None else explicit
        return Thresholds.of(scale.calibration or self.calibration, scale.policy, scale.templates, fixed)

    def one_to_one(self, scale: GalleryScale, explicit: float | None) -> Thresholds:
        """For comparing with one subject's templates, or with the faces of a photo."""
        return self.thresholds(replace(scale, policy=ONE_TO_ONE), explicit)
