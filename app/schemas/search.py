"""Searching a collection without an image."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.schemas.fields import CandidateLimit, Threshold
from app.schemas.recognition import DEFAULT_CANDIDATES, CandidateOut, DecidedOut, describe_thresholds
from app.services.recognition.search import SearchResult

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]


class EmbeddingSearchIn(BaseModel):
    """An embedding as `POST /extract` gives it, and what to look for."""

    embedding: list[Number] = Field(description="512 numbers; of any length but zero.", min_length=512, max_length=512)
    recognizer: str = Field(
        description="The `recognizer` that the embedding came with: others are not comparable.",
        max_length=256,
        examples=["w600k_r50:4c06341c33c2ca1f"],
    )
    limit: CandidateLimit = DEFAULT_CANDIDATES
    threshold: Threshold | None = None


class SearchOut(DecidedOut):
    """Candidates, most similar first."""

    collection: str
    recognizer: str
    candidates: list[CandidateOut]

    @classmethod
    def of(cls, collection: str, result: SearchResult) -> "SearchOut":
        """From the service's result."""
        return cls(
            collection=collection,
            recognizer=result.recognizer,
            candidates=[CandidateOut.of(decided) for decided in result.candidates],
            **describe_thresholds(result.thresholds),
        )
