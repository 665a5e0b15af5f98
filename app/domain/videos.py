"""Videos, and who appears in them when."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.albums import Keep
from app.domain.faces import Embedding, RelativeBox


class VideoState(StrEnum):
    """Where a video is on its way through the queue."""

    ANNOUNCED = "announced"
    """The caller has a form to upload it to the bucket with; it may not be there yet."""
    RECEIVED = "received"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames of a video are looked at."""

    per_second: float = 2.0
    keyframes_only: bool = False
    """Only the frames that are stored whole: much faster, and people who appear for less than seconds are missed."""
    max_minutes: float = 240.0
    """A longer video fails."""


@dataclass(frozen=True, slots=True)
class NewVideo:
    """A video to receive: its album, the caller's id for it, and what is looked at."""

    album: str
    external_id: str
    sampling: Sampling
    keep: Keep | None = None
    """What is kept of it besides templates; None: what the album keeps."""


@dataclass(frozen=True, slots=True)
class VideoSource:
    """Where a video lies in the tenant's own object store."""

    bucket: str
    name: str
    version: str | None = None

    @property
    def address(self) -> str:
        """`bucket/name`; a bucket's name has no slash."""
        return f"{self.bucket}/{self.name}"

    @classmethod
    def parse(cls, address: str, version: str | None) -> "VideoSource":
        bucket, _, name = address.partition("/")
        return cls(bucket, name, version)


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a video's container says: size in pixels as it is shown, length, and the frames per second on average."""

    width: int
    height: int
    duration_ms: int
    frames_per_second: float
    codec: str


@dataclass(frozen=True, slots=True)
class Video:
    """A video of an album; the file itself exists only until it is processed."""

    id: UUID
    collection_id: UUID
    album: str
    external_id: str
    seq: int
    state: VideoState
    sampling: Sampling
    received_at: datetime
    finished_at: datetime | None = None
    facts: VideoFacts | None = None
    """None until a worker has looked at it."""
    position_ms: int = 0
    """How much of it is processed."""
    people: int | None = None
    """How many people appear; None until it is done. Two of them may be one person who looks very different."""
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class VideoPosition:
    """How much of a video is processed, for those who watch it."""

    state: VideoState
    position_ms: int
    duration_ms: int | None
    people: int | None
    code: str | None

    @property
    def finished(self) -> int:
        """In milliseconds of the video."""
        return self.position_ms

    @property
    def waiting(self) -> int:
        """In milliseconds of the video; 1 as long as its length is not known, or its people are joined."""
        return 0 if self.is_done else max(1, (self.duration_ms or 0) - self.position_ms)

    @property
    def is_done(self) -> bool:
        return self.state in (VideoState.DONE, VideoState.FAILED)


@dataclass(frozen=True, slots=True)
class Interval:
    """From the first to the last frame in which somebody was seen without a longer break, in milliseconds."""

    begin_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face in one frame: when and where, how good, and its embeddings by recognizer."""

    at_ms: int
    box: RelativeBox
    detection_score: float
    quality: dict[str, float]
    is_reliable: bool
    embeddings: dict[str, Embedding] = field(repr=False)
    picture: bytes | None = field(default=None, repr=False)
    """A small JPEG, if pictures are kept."""


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """When and where somebody is seen, and how sure that is; for jobs, which list every time."""

    at_ms: int
    box: RelativeBox
    detection_score: float


@dataclass(frozen=True, slots=True)
class Appearance:
    """A person who appears in a video: the intervals, the best time, and the face then."""

    id: UUID
    video_id: UUID
    face_ids: tuple[UUID, ...]
    """The stored faces, the best first."""
    intervals: tuple[Interval, ...]
    best_ms: int
    box: RelativeBox
    frames: int
    """In how many of the frames that were looked at."""
