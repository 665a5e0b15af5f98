"""Videos, the steps in which workers process them, and the appearances of people in them."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.persistence.models.base import CURRENT_TRACE, TenantOwned


class VideoModel(TenantOwned):
    """A video of an album, or of a job (`video_jobs`) if it has no collection.

    - `state`: as in `VideoState`, or `uploading` while its parts arrive; `changed_at` says when the last one did.
      `received_at` of an announced video says when it was announced, and `not_before` when to look for it again.
    - `parts`: the objects in the spool, in order, each encrypted under the service key of the same place in `key_ids`.
      Parts that leave the list are discarded by a trigger. The object that a caller uploads to the bucket has the
      video's own id and an empty key id: it is not encrypted, and leaves the list as soon as a worker has copied it.
    - `sender`: the caller who is billed, as in `usage_days`, and `metered_s` the seconds that were counted.
    - `keep`: as in `Keep`; null: as the album.
    - `source`: bucket and name in the tenant's own object store, `bucket/name`.
    - `traceparent`: the trace of the upload.
    """

    __tablename__ = "videos"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["albums.tenant_id", "albums.collection_id"], ondelete="CASCADE"
        ),
        UniqueConstraint("tenant_id", "collection_id", "external_id"),
        Index("ix_videos_listed", "tenant_id", "collection_id", "seq"),
        Index("ix_videos_announced", "tenant_id", "not_before", postgresql_where=text("state = 'announced'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    collection_id: Mapped[UUID | None]
    external_id: Mapped[str]
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    state: Mapped[str] = mapped_column(server_default="uploading")
    per_second: Mapped[float]
    keyframes_only: Mapped[bool]
    max_minutes: Mapped[float]
    keep: Mapped[str | None]
    sender: Mapped[str | None]
    metered_s: Mapped[int] = mapped_column(BigInteger, server_default="0")
    parts: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    key_ids: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    source: Mapped[str | None]
    source_version: Mapped[str | None]
    size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    digest: Mapped[bytes | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    frames_per_second: Mapped[float | None]
    codec: Mapped[str | None]
    people: Mapped[int | None]
    code: Mapped[str | None]
    detail: Mapped[str | None]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    traceparent: Mapped[str | None] = mapped_column(server_default=CURRENT_TRACE)


class VideoStepModel(TenantOwned):
    """A part of the work on a video that one worker does at a time, under a lease, as for photos."""

    __tablename__ = "video_steps"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "video_id"], ["videos.tenant_id", "videos.id"], ondelete="CASCADE"),
        Index("ix_video_steps_waiting", "tenant_id", "state", postgresql_where=text("state <> 'done'")),
    )

    video_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    begin_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    end_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    state: Mapped[str] = mapped_column(server_default="waiting")
    attempts: Mapped[int] = mapped_column(server_default="0")
    lease: Mapped[UUID | None]
    leased_until: Mapped[datetime | None]
    waiting_since: Mapped[datetime] = mapped_column(server_default=func.now())


class AppearanceModel(TenantOwned):
    """Somebody who appears in a video.

    While the video is processed, a row is what one `step` saw of somebody: `faces` are embeddings, encrypted under the
    service key `key_id`. When it is done, `face_id` is the best stored face, and `faces` is null.
    """

    __tablename__ = "appearances"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "video_id"], ["videos.tenant_id", "videos.id"], ondelete="CASCADE"),
        Index("ix_appearances_tenant_id_video_id", "tenant_id", "video_id"),
        Index("ix_appearances_face", "tenant_id", "face_id", postgresql_where=text("face_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    video_id: Mapped[UUID]
    step: Mapped[int | None]
    face_id: Mapped[UUID | None]
    begins_ms: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    ends_ms: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    best_ms: Mapped[int] = mapped_column(BigInteger)
    box: Mapped[list[float]] = mapped_column(ARRAY(Double))
    frames: Mapped[int]
    key_id: Mapped[str | None]
    faces: Mapped[bytes | None]


class AppearanceFaceModel(TenantOwned):
    """A stored face of an appearance: the best one, or one that looks different."""

    __tablename__ = "appearance_faces"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "appearance_id"], ["appearances.tenant_id", "appearances.id"], ondelete="CASCADE"
        ),
        Index("ix_appearance_faces_tenant_id_appearance_id", "tenant_id", "appearance_id"),
    )

    face_id: Mapped[UUID] = mapped_column(primary_key=True)
    appearance_id: Mapped[UUID]
