"""The protocol's objects that live as long as the process: the service model and the percentage scales."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

from starlette.requests import Request

from app.domain.decisions import Calibration
from app.rekognition.similarity import SimilarityScale
from app.rekognition.wire_model import WireModel


@dataclass(frozen=True, slots=True)
class ProtocolState:
    """Created by the lifespan in main.py; requests get it from `protocol_of`."""

    wire_model: WireModel
    scales: Mapping[str, SimilarityScale]
    """Percentage scales by recognizer."""

    @classmethod
    def of(cls, calibrations: Mapping[str, Calibration]) -> Self:
        """Load the service model, and derive the scales from the calibrations of the loaded recognizers."""
        return cls(WireModel(), {name: SimilarityScale(calibration) for name, calibration in calibrations.items()})


def protocol_of(request: Request) -> ProtocolState:
    return cast(ProtocolState, request.state.rekognition)
