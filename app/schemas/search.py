"""Define the requests and responses of searches without an image."""

from typing import Annotated

import numpy as np
from pydantic import Field

from app.domain.faces import Embedding
from app.schemas.answer_fields import RECOGNIZER
from app.schemas.fields import JSON_NUMBER, CandidateLimit, Threshold
from app.schemas.recognition import DEFAULT_CANDIDATES, CandidateOut, DecisionBasisOut, describe_thresholds
from app.schemas.request_body import RequestBody
from app.services.recognition.search import SearchResult

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e6, le=1e6, examples=[0.0442])]


class EmbeddingSearchIn(RequestBody):
    """An embedding from `POST /extract` to search for."""

    embedding: list[Number] = Field(
        description="512 numbers. The vector is normalized; its length must not be zero.",
        min_length=512,
        max_length=512,
    )
    recognizer: str = Field(
        description="The `recognizer` that made the embedding. It must be the one that the collection uses.",
        max_length=256,
        examples=[RECOGNIZER],
    )
    limit: Annotated[CandidateLimit, JSON_NUMBER] = DEFAULT_CANDIDATES
    threshold: Annotated[Threshold, JSON_NUMBER] | None = None

    def vector(self) -> Embedding:
        """Return the embedding as sent: (512,), float32, of any length."""
        return np.array(self.embedding, dtype=np.float32)


class SearchOut(DecisionBasisOut):
    """The most similar subjects in the collection, best first."""

    collection: str = Field(examples=["default"])
    recognizer: str = Field(description="The recognizer that was used.", examples=[RECOGNIZER])
    candidates: list[CandidateOut]

    @classmethod
    def of(cls, collection: str, result: SearchResult) -> "SearchOut":
        return cls(
            collection=collection,
            recognizer=result.recognizer,
            candidates=[CandidateOut.of(decided) for decided in result.candidates],
            **describe_thresholds(result.thresholds),
        )
