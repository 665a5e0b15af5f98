"""Recognizers of collections."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.domain.collections import Recognizers
from app.schemas.fields import Label
from app.services.collections.recognizers import RecognizerOverview

AcceptMissing = Annotated[bool, Field(description="Go on although subjects would not be found any more.")]


class RecognizersIn(BaseModel):
    """What to search a collection with, and what to store its faces with as well."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"in_use": "w600k_r50:4c06341c33c2ca1f", "secondary": "w600k_mbf:9cc6e4a75f0e2bf0"}
        },
    )

    in_use: Label
    secondary: Label | None = None
    accept_missing: AcceptMissing = False

    def recognizers(self) -> Recognizers:
        """The domain's value."""
        return Recognizers(self.in_use, self.secondary if self.secondary != self.in_use else None)


class RecognizerOut(BaseModel):
    """One recognizer and how far its templates cover the collection."""

    recognizer: str
    pack: str | None = Field(description="The model pack that this server has it from; null: it has not.")
    faces: int
    subjects: int


class MissingPage(BaseModel):
    """One page of subjects without a face stored with a recognizer."""

    items: list[str]
    next_cursor: str | None


class RecognizersOut(BaseModel):
    """What a collection is searched with, what it is stored with as well, and all that could be."""

    in_use: str
    secondary: str | None
    known: list[RecognizerOut]

    @classmethod
    def of(cls, overview: RecognizerOverview) -> "RecognizersOut":
        """From the service's result."""
        return cls(
            in_use=overview.in_use,
            secondary=overview.secondary,
            known=[
                RecognizerOut(
                    recognizer=one.recognizer, pack=one.pack, faces=one.coverage.faces, subjects=one.coverage.subjects
                )
                for one in overview.known
            ],
        )
