"""Define the responses of the routes that take several photos: for each one the single route's answer, or a problem."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from app.domain.faces import Analysis
from app.errors import AppError
from app.schemas.faces import ExtractOut
from app.schemas.recognition import CompareOut, RecognizeOut
from app.services.recognition.recognition import Comparison, Recognition

_INDEX = "Position among the request's photos, from 0."
_ANSWER = "What the route for one photo answers. Null if `problem` is set."
_PROBLEM = "Why this photo has no answer. Null if `answer` is set."


class PhotoProblemOut(BaseModel):
    """The reason why one photo of a batch has no answer."""

    status: int = Field(description="The status that the route for one photo answers with.", examples=[422])
    code: str = Field(description="A stable error code.", examples=["image_truncated"])
    detail: str = Field(examples=["The image is truncated or damaged."])
    field: str = Field(description="The request's field with the photo.", examples=["images"])
    index: int = Field(description="Position among the photos of the field, from 0.", examples=[1])

    @classmethod
    def of(cls, error: AppError, field: str, index: int) -> "PhotoProblemOut":
        return cls(status=error.status, code=error.code, detail=error.detail, field=field, index=index)


class RecognizeItemOut(BaseModel):
    """One photo of a batch: what `POST /recognize` answers, or a problem."""

    index: int = Field(description=_INDEX, examples=[0])
    answer: RecognizeOut | None = Field(description=_ANSWER)
    problem: PhotoProblemOut | None = Field(description=_PROBLEM)


class RecognizeBatchOut(BaseModel):
    """One item for each photo, in the order of the request."""

    items: list[RecognizeItemOut]

    @classmethod
    def of(cls, collection: str, recognized: Sequence[Recognition | AppError], field: str) -> "RecognizeBatchOut":
        items = []
        for index, one in enumerate(recognized):
            if isinstance(one, AppError):
                problem = PhotoProblemOut.of(one, field, index)
                items.append(RecognizeItemOut(index=index, answer=None, problem=problem))
            else:
                answer = RecognizeOut.of(collection, one)
                items.append(RecognizeItemOut(index=index, answer=answer, problem=None))
        return cls(items=items)


class ExtractItemOut(BaseModel):
    """One photo of a batch: what `POST /extract` answers, or a problem."""

    index: int = Field(description=_INDEX, examples=[0])
    answer: ExtractOut | None = Field(description=_ANSWER)
    problem: PhotoProblemOut | None = Field(description=_PROBLEM)


class ExtractBatchOut(BaseModel):
    """One item for each photo, in the order of the request."""

    items: list[ExtractItemOut]

    @classmethod
    def of(cls, analyses: Sequence[Analysis | AppError], recognizer: str, field: str) -> "ExtractBatchOut":
        items = []
        for index, one in enumerate(analyses):
            if isinstance(one, AppError):
                problem = PhotoProblemOut.of(one, field, index)
                items.append(ExtractItemOut(index=index, answer=None, problem=problem))
            else:
                answer = ExtractOut.of(one, recognizer)
                items.append(ExtractItemOut(index=index, answer=answer, problem=None))
        return cls(items=items)


class CompareItemOut(BaseModel):
    """One target of a batch: what `POST /compare` answers for it, or a problem."""

    index: int = Field(description=_INDEX, examples=[0])
    answer: CompareOut | None = Field(description=_ANSWER)
    problem: PhotoProblemOut | None = Field(description=_PROBLEM)


class CompareBatchOut(BaseModel):
    """One item for each target, in the order of the request."""

    items: list[CompareItemOut]

    @classmethod
    def of(cls, comparisons: Sequence[Comparison | AppError], field: str) -> "CompareBatchOut":
        items = []
        for index, one in enumerate(comparisons):
            if isinstance(one, AppError):
                problem = PhotoProblemOut.of(one, field, index)
                items.append(CompareItemOut(index=index, answer=None, problem=problem))
            else:
                items.append(CompareItemOut(index=index, answer=CompareOut.of(one), problem=None))
        return cls(items=items)
