"""Define the responses of the routes that take several photos: for each one the single route's answer, or a problem."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, Field

from app.domain.faces import Analysis
from app.errors import AppError
from app.schemas.faces import ExtractOut
from app.schemas.recognition import CompareOut, RecognizeOut
from app.services.recognition.recognition import Comparison, Recognition

Item = TypeVar("Item", bound=BaseModel)
Result = TypeVar("Result")

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
        return cls(items=list_items(RecognizeItemOut, recognized, lambda one: RecognizeOut.of(collection, one), field))


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
        return cls(items=list_items(ExtractItemOut, analyses, lambda one: ExtractOut.of(one, recognizer), field))


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
        return cls(items=list_items(CompareItemOut, comparisons, CompareOut.of, field))


def list_items(
    kind: Callable[..., Item],
    results: Sequence[Result | AppError],
    describe: Callable[[Result], BaseModel],
    field: str,
    **columns: Sequence[object],
) -> list[Item]:
    """Return an item for each result, in order: its description, or the problem of what is in `field`.

    `columns` are more fields of the items, with a value for each.
    """
    items = []
    for index, result in enumerate(results):
        more = {name: values[index] for name, values in columns.items()}
        if isinstance(result, AppError):
            items.append(kind(index=index, answer=None, problem=PhotoProblemOut.of(result, field, index), **more))
        else:
            items.append(kind(index=index, answer=describe(result), problem=None, **more))
    return items
