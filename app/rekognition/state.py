"""What the protocol keeps once per process: AWS's service model, and each recognizer's percentages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

from starlette.requests import Request

from app.domain.decisions import Calibration
from app.rekognition.similarity import SimilarityScale
from app.rekognition.wire_model import WireModel


@dataclass(frozen=True, slots=True)
class ProtocolState:
    """Made by `main.lifespan`, read from requests by `protocol_of`."""

    wire_model: WireModel
    scales: Mapping[str, SimilarityScale]
    """By recognizer."""

    @classmethod
    def of(cls, calibrations: Mapping[str, Calibration]) -> Self:
        """Load the service model and derive the percentages from the calibrations of the loaded recognizers."""
        return cls(WireModel(), {name: SimilarityScale(one) for name, one in calibrations.items()})


def protocol_of(request: Request) -> ProtocolState:
    return cast(ProtocolState, request.state.rekognition)
