"""Define the requests and responses of collections."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, model_validator

from app.domain.collections import Collection
from app.domain.decisions import DecisionPolicy
from app.schemas import answer_fields as answer
from app.schemas.faces import Pair
from app.schemas.fields import CollectionName
from app.schemas.recognition import round_rate
from app.schemas.request_body import RequestBody

Rate = Annotated[float, Field(strict=True, ge=1e-9, le=0.5, allow_inf_nan=False)]


class CollectionIn(RequestBody):
    """A collection to create."""

    name: CollectionName = Field(examples=["visitors"])


class DecisionPolicyIn(RequestBody):
    """How often a search of the collection may return the wrong person."""

    max_false_match_rate: Rate = Field(
        default=DecisionPolicy().max_false_match_rate,
        description="How often a search for a person who is not in the collection may end in a `match`. The match "
        "threshold follows from this rate and the collection's size.",
    )
    review_false_match_rate: Rate | None = Field(
        default=None,
        description="The same rate for `review`. Default: 0.05, or `max_false_match_rate` if that is higher.",
    )

    @model_validator(mode="after")
    def _must_not_be_lower(self) -> Self:
        review = self.review_false_match_rate
        if review is not None and review < self.max_false_match_rate:
            raise ValueError(
                f"review_false_match_rate is {review:g}; it must not be below max_false_match_rate, "
                f"which is {self.max_false_match_rate:g}"
            )
        return self

    def policy(self) -> DecisionPolicy:
        review = self.review_false_match_rate
        default = max(self.max_false_match_rate, DecisionPolicy().review_false_match_rate)
        return DecisionPolicy(self.max_false_match_rate, default if review is None else review)


class CalibrationOut(BaseModel):
    """A calibration measured on the collection's own faces: how similar faces of different people are."""

    recognizer: answer.Recognizer = Field(description="The recognizer whose embeddings were measured.")
    source: str = Field(description="What was measured.", examples=["this collection's 2500 subjects, 2026-01-17"])
    cosines: dict[str, float] = Field(
        description="For each false-match rate of a single comparison, the cosine similarity at which it is reached.",
        examples=[{"0.001": 0.31}],
    )
    intervals: dict[str, Pair] = Field(
        description="The 95% confidence interval of each rate. Empty for calibrations from versions that did not "
        "record intervals.",
        examples=[{"0.001": (0.0008, 0.0013)}],
    )

    @classmethod
    def of(cls, calibration: Mapping[str, Any]) -> "CalibrationOut":
        points, intervals = calibration["points"], calibration.get("intervals", ())
        return cls(
            recognizer=calibration["recognizer"],
            source=calibration["source"],
            cosines={f"{rate:g}": cosine for rate, cosine in points},
            intervals={
                f"{rate:g}": (round_rate(low), round_rate(high))
                for (rate, _), (low, high) in zip(points, intervals, strict=False)
            },
        )


class CollectionOut(BaseModel):
    """A named gallery of subjects."""

    name: answer.Collection
    subjects: int = Field(description="Number of subjects.", examples=[2500])
    templates: int = Field(description="Number of stored templates.", examples=[7500])
    created_at: answer.CreatedAt
    recognizer: answer.Recognizer | None = Field(
        description="The recognizer that searches use. Null until the first face is stored."
    )
    secondary: str | None = Field(
        description="The secondary recognizer, which also embeds new faces during a migration.", examples=[None]
    )
    max_false_match_rate: float = Field(
        description="How often a search for a person who is not in the collection may end in a `match`.",
        examples=[0.001],
    )
    review_false_match_rate: float = Field(description="The same rate for `review`.", examples=[0.05])
    calibration: CalibrationOut | None = Field(
        description="The collection's own calibration. Null: the recognizer's calibration is used."
    )

    @classmethod
    def of(cls, collection: Collection) -> "CollectionOut":
        policy = collection.policy
        return cls(
            name=collection.name,
            subjects=collection.subjects,
            templates=collection.templates,
            created_at=collection.created_at,
            recognizer=collection.recognizer,
            secondary=collection.secondary,
            max_false_match_rate=policy.max_false_match_rate,
            review_false_match_rate=policy.review_false_match_rate,
            calibration=CalibrationOut.of(collection.calibration) if collection.calibration is not None else None,
        )


class CollectionPage(BaseModel):
    """One page of collections."""

    items: list[CollectionOut]
    next_cursor: answer.NextCursor
