"""Collections."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.collections import Collection
from app.domain.decisions import DecisionPolicy
from app.schemas.fields import CollectionName
from app.schemas.recognition import short_rate

Rate = Annotated[float, Field(strict=True, ge=1e-9, le=0.5, allow_inf_nan=False)]


class CollectionIn(BaseModel):
    """A collection to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "visitors"}})

    name: CollectionName


class DecisionPolicyIn(BaseModel):
    """How often a search of the collection may find a stranger."""

    model_config = ConfigDict(extra="forbid")

    max_false_match_rate: Rate = Field(
        default=DecisionPolicy().max_false_match_rate,
        description="As a match: the threshold follows from it and the size.",
    )
    review_false_match_rate: Rate | None = Field(
        default=None, description="As somebody to look at (`review`); by default 5 in 100, or the other rate if higher."
    )

    @model_validator(mode="after")
    def _must_not_be_lower(self) -> Self:
        review = self.review_false_match_rate
        if review is not None and review < self.max_false_match_rate:
            raise ValueError("review_false_match_rate must not be below max_false_match_rate")
        return self

    def policy(self) -> DecisionPolicy:
        """The domain's value."""
        review = self.review_false_match_rate
        default = max(self.max_false_match_rate, DecisionPolicy().review_false_match_rate)
        return DecisionPolicy(self.max_false_match_rate, default if review is None else review)


class CalibrationOut(BaseModel):
    """How similar strangers are, as this collection's own photos show."""

    recognizer: str
    source: str
    cosines: dict[str, float] = Field(description="By the rate at which comparisons of strangers reach them.")
    intervals: dict[str, tuple[float, float]] = Field(
        description="Of these rates, 95%; none where it was calibrated before they were kept."
    )


class CollectionOut(BaseModel):
    """A named gallery, with what it holds."""

    name: str
    subjects: int
    templates: int
    created_at: datetime
    recognizer: str | None = Field(description="Whose embeddings are searched; null until a face is stored.")
    secondary: str | None = Field(description="Whose embeddings are stored as well, to go over to it or back.")
    max_false_match_rate: float = Field(description="How often a search of a stranger may end in a match.")
    review_false_match_rate: float
    calibration: CalibrationOut | None = Field(
        description="Its own, if it was calibrated; else the recognizer's is used."
    )

    @classmethod
    def of(cls, collection: Collection) -> "CollectionOut":
        """From the domain's value."""
        own, policy = collection.calibration, collection.policy
        return cls(
            name=collection.name,
            subjects=collection.subjects,
            templates=collection.templates,
            created_at=collection.created_at,
            recognizer=collection.recognizer,
            secondary=collection.secondary,
            max_false_match_rate=policy.max_false_match_rate,
            review_false_match_rate=policy.review_false_match_rate,
            calibration=CalibrationOut(
                recognizer=own["recognizer"],
                source=own["source"],
                cosines={f"{rate:g}": cosine for rate, cosine in own["points"]},
                intervals={
                    f"{rate:g}": (short_rate(low), short_rate(high))
                    for (rate, _), (low, high) in zip(own["points"], own.get("intervals", ()), strict=False)
                },
            )
            if own is not None
            else None,
        )


class CollectionPage(BaseModel):
    """One page of collections."""

    items: list[CollectionOut]
    next_cursor: str | None
