"""Define the response of a tenant's usage by day."""

from datetime import date
from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.tenancy import UsageCount, UsageKey
from app.schemas import answer_fields as answer
from app.services.paging import Page


class UsageDayOut(BaseModel):
    """One caller's use of one operation on one day."""

    day: date = Field(description="The day in UTC.", examples=["2026-01-17"])
    operation: str = Field(examples=["recognize"])
    key_id: answer.KeyId | None = Field(description="The key that called. Null for users.")
    user_id: UUID | None = Field(description="The user who called. Null for keys.", examples=[None])
    calls: int = Field(description="Successful calls. Errors and replayed responses are not counted.", examples=[120])
    images: int = Field(description="Photos in these calls.", examples=[120])
    video_seconds: int = Field(
        description="Seconds of the videos that were sent on this day, of those that are processed or begun.",
        examples=[0],
    )


class UsageOut(BaseModel):
    """One page of usage by day, operation and caller, with the totals of all pages."""

    since: date = Field(description="The first day.", examples=["2026-01-01"])
    before: date = Field(description="The day after the last.", examples=["2026-02-01"])
    calls: int = Field(description="Total number of successful calls.", examples=[120])
    images: int = Field(description="Total number of photos.", examples=[120])
    video_seconds: int = Field(description="Total number of seconds of videos.", examples=[0])
    items: list[UsageDayOut]
    next_cursor: answer.NextCursor

    @classmethod
    def of(cls, since: date, before: date, total: UsageCount, page: Page[tuple[UsageKey, UsageCount]]) -> "UsageOut":
        items = [_describe(key, count) for key, count in page.items]
        return cls(
            since=since,
            before=before,
            calls=total.calls,
            images=total.images,
            video_seconds=total.video_seconds,
            items=items,
            next_cursor=page.next_cursor,
        )


def _describe(key: UsageKey, count: UsageCount) -> UsageDayOut:
    kind, _, caller_id = key.caller.partition(":")
    ids = {"key": None, "user": None, kind: UUID(caller_id)}
    return UsageDayOut(
        day=key.day,
        operation=key.operation,
        key_id=ids["key"],
        user_id=ids["user"],
        calls=count.calls,
        images=count.images,
        video_seconds=count.video_seconds,
    )
