"""Define the events of a video's progress."""

from datetime import UTC, datetime

from pydantic import BaseModel, Field

from app.domain.videos import VideoPosition, VideoState
from app.services.progress import Progress


class VideoEventOut(BaseModel):
    """The progress of a video, as the stream of events sends it."""

    state: VideoState
    position_ms: int = Field(description="How much of it is processed.", examples=[60000])
    duration_ms: int | None = Field(description="Null until a worker has looked at it.", examples=[62500])
    people: int | None = Field(description="How many people appear. Null until it is done.", examples=[3])
    code: str | None = Field(description="Why the video failed: an error code.", examples=[None])
    remaining_s: float | None = Field(
        description="When it will be done, in seconds. Null while nothing is known about its speed.", examples=[26.3]
    )
    at: datetime = Field(examples=["2026-01-17T09:30:00Z"])

    @classmethod
    def of(cls, progress: Progress[VideoPosition]) -> "VideoEventOut":
        counts, remaining = progress.counts, progress.remaining_s
        return cls(
            state=counts.state,
            position_ms=counts.position_ms,
            duration_ms=counts.duration_ms,
            people=counts.people,
            code=counts.code,
            remaining_s=None if remaining is None else round(remaining, 1),
            at=datetime.now(UTC),
        )
