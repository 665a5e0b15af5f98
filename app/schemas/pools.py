"""Define the requests and responses of pools."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.schemas import answer_fields as answer
from app.schemas.fields import JSON_NUMBER, CollectionName
from app.schemas.request_body import RequestBody
from app.services.sightings.pools import DEFAULT_RETAIN_DAYS, DescribedPool

_MAX_DAYS = 36_500


class PoolIn(RequestBody):
    """Whom to look for among a collection's anonymous faces, and how long to keep them."""

    people: list[CollectionName] | None = Field(
        default=None,
        max_length=20,
        description="Collections whose registered people are looked for. Default: this collection.",
        examples=[["staff"]],
    )
    retain_days: Annotated[int, Field(ge=1, le=_MAX_DAYS), JSON_NUMBER] = Field(
        default=DEFAULT_RETAIN_DAYS,
        description="Anonymous faces are erased so many days after they came into the pool.",
        examples=[30],
    )


class PoolOut(BaseModel):
    """A collection whose anonymous faces are matched and grouped."""

    collection: answer.Collection
    people: list[str] = Field(description="The collections whose people are looked for.", examples=[["staff"]])
    retain_days: int = Field(examples=[30])
    faces: int = Field(description="How many anonymous faces are in the pool.", examples=[1280])
    created_at: answer.CreatedAt

    @classmethod
    def of(cls, described: DescribedPool) -> "PoolOut":
        pool = described.pool
        return cls(
            collection=described.collection,
            people=described.people,
            retain_days=pool.retain_days,
            faces=pool.faces,
            created_at=pool.created_at,
        )
