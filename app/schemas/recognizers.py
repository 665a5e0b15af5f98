"""Define the requests and responses of a collection's recognizers."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.domain.collections import Recognizers
from app.schemas import answer_fields as answer
from app.schemas.fields import Label
from app.schemas.request_body import RequestBody
from app.services.collections.recognizers import RecognizerOverview

AcceptMissing = Annotated[bool, Field(description="Proceed even if searches will no longer find some subjects.")]


class RecognizersIn(RequestBody):
    """The recognizer to search a collection with, and an optional secondary recognizer."""

    in_use: Label = Field(description="The recognizer that searches use.", examples=["w600k_r50:4c06341c33c2ca1f"])
    secondary: Label | None = Field(
        default=None, description="The secondary recognizer, which also embeds new faces during a migration."
    )
    accept_missing: Annotated[AcceptMissing, Field(strict=True)] = False

    def recognizers(self) -> Recognizers:
        return Recognizers(self.in_use, self.secondary if self.secondary != self.in_use else None)


class RecognizerOut(BaseModel):
    """A recognizer and the part of the collection that it has embedded."""

    recognizer: answer.Recognizer
    pack: str | None = Field(
        description="The model pack that it is loaded from. Null: not loaded on this server.", examples=["buffalo_l"]
    )
    faces: int = Field(description="Number of faces that it has embedded.", examples=[7500])
    subjects: int = Field(description="Number of subjects that have at least one of these faces.", examples=[2500])


class MissingPage(BaseModel):
    """One page of subjects that have no face embedded by a recognizer."""

    items: list[str] = Field(description="Subject ids.", examples=[["emp-1042"]])
    next_cursor: answer.NextCursor


class RecognizersOut(BaseModel):
    """The recognizers of a collection."""

    in_use: answer.Recognizer = Field(description="The recognizer that searches use.")
    secondary: str | None = Field(
        description="The secondary recognizer, which also embeds new faces during a migration.", examples=[None]
    )
    recognizers: list[RecognizerOut] = Field(
        description="Every recognizer that is loaded on this server or has embedded faces in the collection."
    )

    @classmethod
    def of(cls, overview: RecognizerOverview) -> "RecognizersOut":
        return cls(
            in_use=overview.in_use,
            secondary=overview.secondary,
            recognizers=[
                RecognizerOut(
                    recognizer=found.recognizer,
                    pack=found.pack,
                    faces=found.coverage.faces,
                    subjects=found.coverage.subjects,
                )
                for found in overview.recognizers
            ],
        )
