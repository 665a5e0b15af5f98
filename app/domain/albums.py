"""Albums: collections whose faces come from photos that a queue processes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.faces import RelativeBox


class Keep(StrEnum):
    """What is kept of an album's photos besides templates."""

    NOTHING = "nothing"
    CROPS = "crops"
    """A picture of each stored face, encrypted, until the album expires; of somebody in a video, only the best."""


class AlbumKind(StrEnum):
    """Where the faces come from that are matched with known people and grouped."""

    ALBUM = "album"
    """From photos that the queue processes."""
    POOL = "pool"
    """They are a collection's own anonymous faces."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A collection whose own anonymous faces are matched and grouped; `retain_days` later they are erased."""

    collection_id: UUID
    retain_days: int
    created_at: datetime
    faces: int


class PhotoState(StrEnum):
    """Where a photo is on its way through the queue."""

    ANNOUNCED = "announced"
    """The caller has a form to upload it to the bucket with; it may not be there yet."""
    RECEIVED = "received"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Album:
    """An album; its faces are templates of the collection with the same name."""

    collection_id: UUID
    name: str
    """The collection's name, which the caller chose as the album's id."""
    title: str | None
    keep: Keep
    expected: int | None
    """How many photos the caller announced; for progress only."""
    created_at: datetime
    expires_at: datetime
    closed_at: datetime | None
    """Since when the album takes no more photos."""


@dataclass(frozen=True, slots=True)
class PhotoCounts:
    """How many photos of an album are in each state, and how many faces are stored."""

    announced: int = 0
    received: int = 0
    working: int = 0
    done: int = 0
    failed: int = 0
    faces: int = 0

    @property
    def total(self) -> int:
        return self.announced + self.received + self.working + self.done + self.failed

    @property
    def waiting(self) -> int:
        """Photos that are there and not finished."""
        return self.received + self.working

    @property
    def finished(self) -> int:
        return self.done + self.failed

    @property
    def is_done(self) -> bool:
        """Whether there are photos, and none waits."""
        return self.total > 0 and not self.waiting


@dataclass(frozen=True, slots=True)
class AlbumPhoto:
    """A photo of an album; the picture itself exists only until it is processed."""

    id: UUID
    """Also the image id of its faces."""
    external_id: str
    state: PhotoState
    seq: int
    """The order of arrival within the tenant."""
    attempts: int
    received_at: datetime
    finished_at: datetime | None = None
    width: int | None = None
    height: int | None = None
    faces: int | None = None
    """How many faces are stored; None until the photo is done."""
    faces_skipped: int | None = None
    """How many more were found, but are below the album's quality bar or beyond its limit."""
    code: str | None = None
    """Why the photo failed: the code of an error. For a photo that is done: `no_face`, or None."""
    detail: str | None = None
    can_retry: bool = False
    """Whether the photo failed for a reason that may pass, and is still there to be tried again."""


@dataclass(frozen=True, slots=True)
class StoredFacePlace:
    """Where a stored face is in a photo of the tenant's own object store."""

    source: str
    """The photo, as `bucket/name`."""
    box: RelativeBox


@dataclass(frozen=True, slots=True)
class WaitingPhoto:
    """A photo that a worker has taken, with what it needs to read it."""

    id: UUID
    collection_id: UUID
    album: str
    external_id: str
    attempts: int
    """How often a worker began with it before."""
    key_id: str | None
    """The service key under which it is encrypted; None if it arrived through the object store itself."""
    keep: Keep
    source: str | None = None
    """Where it lies in the tenant's own object store; None if it lies in the spool."""
    traceparent: str | None = None
    """The trace of the upload, in the format of W3C Trace Context, if it is exported."""


@dataclass(frozen=True, slots=True)
class AlbumLink:
    """A link by which a guest searches an album with a photo of the guest."""

    id: UUID
    album: str
    label: str | None
    consent_text: str
    """What guests agree to before they search."""
    rate: str
    """How often all guests with the link may search, such as `10/minute`."""
    searches: int
    created_at: datetime
    expires_at: datetime
