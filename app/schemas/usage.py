"""What was done, as its tenant reads it."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.tenancy import UsageCount, UsageKey


class UsageDayOut(BaseModel):
    """What one caller did of one kind on one day."""

    day: date = Field(description="In UTC.")
    operation: str = Field(examples=["recognize"])
    key_id: UUID | None = Field(description="The API key, where a program called.")
    user_id: UUID | None = Field(description="The user, where a person did.")
    calls: int = Field(description="Answered with success; repeated answers and refusals are not counted.")
    images: int = Field(description="Photos in them.")


class UsageOut(BaseModel):
    """Counts by day, operation and caller, and their sums."""

    since: date
    before: date
    calls: int
    images: int
    items: list[UsageDayOut]

    @classmethod
    def of(cls, since: date, before: date, counts: Mapping[UsageKey, UsageCount]) -> "UsageOut":
        """From the service's result."""
        items = [_describe(key, count) for key, count in counts.items()]
        calls, images = (sum(getattr(item, name) for item in items) for name in ("calls", "images"))
        return cls(since=since, before=before, calls=calls, images=images, items=items)


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
    )
