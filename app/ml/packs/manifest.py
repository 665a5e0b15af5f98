"""Read and write `pack.json`, the optional manifest of a model pack; must not open the pack's networks."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.domain.decisions import Calibration
from app.domain.faces import EMBEDDING_SIZE
from app.errors import ModelPackRefused

MANIFEST_FILE = "pack.json"


class ManifestCalibration(BaseModel):
    """Impostor similarities of the pack's recognizer, as measured by the pack's maker or by `vultus calibrate`."""

    model_config = ConfigDict(extra="forbid")

    cosines: dict[float, float] = Field(min_length=2)
    """Cosine by false-match rate, such as `{"1e-3": 0.32, "1e-5": 0.46}`; a lower rate needs a higher cosine."""
    source: str
    intervals: dict[float, tuple[float, float]] = Field(default_factory=dict)
    """95% confidence interval by false-match rate, such as `{"1e-3": [8e-4, 1.2e-3]}`; either empty or for every rate.

    Rates below the lowest one in `cosines` are extrapolated.
    """

    @model_validator(mode="after")
    def _check_points(self) -> Self:
        points = self.points()
        if not all(0 < rate < 1 and -1 < cosine < 1 for rate, cosine in points):
            raise ValueError("every rate must lie between 0 and 1, every cosine between -1 and 1")
        if any(rarer[1] <= commoner[1] for commoner, rarer in pairwise(points)):
            raise ValueError("a lower false-match rate must have a higher cosine")
        if self.intervals and self.intervals.keys() != self.cosines.keys():
            raise ValueError("intervals must be empty or have the same rates as cosines")
        return self

    def points(self) -> tuple[tuple[float, float], ...]:
        """Return (false-match rate, cosine) pairs, the highest rate first."""
        return tuple(sorted(self.cosines.items(), reverse=True))

    def to_calibration(self) -> Calibration:
        """Convert to the domain's value."""
        intervals = tuple(self.intervals[rate] for rate, _ in self.points()) if self.intervals else ()
        return Calibration(self.points(), self.source, intervals)

    @classmethod
    def from_calibration(cls, calibration: Calibration) -> Self:
        """Convert from the domain's value."""
        rates = [rate for rate, _ in calibration.points]
        intervals = dict(zip(rates, calibration.intervals, strict=True)) if calibration.intervals else {}
        return cls(cosines=dict(calibration.points), source=calibration.source, intervals=intervals)


class PackManifest(BaseModel):
    """The content of `pack.json`; `detection`, `recognition` and `attributes` are files in the pack's directory."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    version: str = "1"
    license: str
    embedding_size: int = EMBEDDING_SIZE
    threshold: float = Field(ge=-1, le=1)
    threshold_source: str = "pack.json"
    detection: str
    recognition: str
    attributes: str | None = None
    """The network of age and gender; without it, a published pack's own file counts, if it is there."""
    knows_only_drawings: bool = False
    """True for the synthetic pack, which is useless on photographs and whose digests are not recorded."""
    calibration: ManifestCalibration | None = None
    calibration_mirrored: ManifestCalibration | None = None
    """Calibration of the recognizer that the suffix `+mirror` selects."""


def read_manifest(directory: Path) -> PackManifest | None:
    """Read the manifest of a pack's directory; None if it has none. Raises `ModelPackRefused` if it is invalid."""
    path = directory / MANIFEST_FILE
    if not path.is_file():
        return None
    try:
        manifest = PackManifest.model_validate_json(path.read_text())
    except (ValidationError, UnicodeDecodeError) as exc:
        raise ModelPackRefused(f"{path} is not a valid pack manifest: {exc}") from exc
    if manifest.embedding_size != EMBEDDING_SIZE:
        raise ModelPackRefused(
            f"{path}: embedding_size is {manifest.embedding_size}; the database stores embeddings of {EMBEDDING_SIZE}."
        )
    return manifest


def write_manifest(directory: Path, manifest: PackManifest) -> Path:
    """Write the manifest atomically and return its path; raises `ModelPackRefused` if that fails."""
    path, partial = directory / MANIFEST_FILE, directory / f".{MANIFEST_FILE}.new"
    try:
        # Without nulls: older versions forbid the fields that they do not know.
        partial.write_text(manifest.model_dump_json(indent=1, exclude_none=True) + "\n")
        os.replace(partial, path)
    except OSError as exc:
        raise ModelPackRefused(f"{path} cannot be written: {exc.strerror}.") from exc
    return path
