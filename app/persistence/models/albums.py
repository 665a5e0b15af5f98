"""Albums, their photos on the way through the queue, kept pictures of faces, and links for guests."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ForeignKeyConstraint, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.persistence.models.base import CURRENT_TRACE, Base, TenantOwned, TenantRow


class AlbumModel(TenantOwned):
    """A collection whose faces come from photos that the queue processes, or whose own anonymous faces are a pool.

    `retain_days` is set for pools, `expires_at` for albums.
    """

    __tablename__ = "albums"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["collections.tenant_id", "collections.id"], ondelete="CASCADE"
        ),
        Index("ix_albums_tenant_id_expires_at", "tenant_id", "expires_at"),
    )

    collection_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(server_default="album")
    title: Mapped[str | None]
    keep: Mapped[str] = mapped_column(server_default="nothing")
    expected: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    retain_days: Mapped[int | None]
    closed_at: Mapped[datetime | None]
    clusters_version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Counts the changes of its clusters of unknown faces."""
    cluster_threshold: Mapped[float | None]
    """The linkage that its clusters were made with, by this recognizer."""
    cluster_recognizer: Mapped[str | None]


class PhotoModel(TenantOwned):
    """A photo of an album. Its row is the truth; the job queue only knows whose turn it is.

    - `lease`: drawn by the worker that has taken the photo; only its holder may finish the photo.
    - `attempts`: how often a worker began with the photo, counted before it is decoded.
    - `has_object`: whether the picture lies in the spool. When it no longer shall, a trigger discards it.
    - `key_id`: null if the service did not encrypt the picture: it was uploaded to the bucket, or has a `source`.
    - `source`: bucket and name in the tenant's own object store, `bucket/name`; such a picture is not in the spool.
    - `fetches`: how often that store was away. `not_before`: when to look for the photo again.
    - `traceparent`: the trace of the upload.
    - `may_retry`: whether a photo that failed may succeed another time.
    """

    __tablename__ = "photos"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["albums.tenant_id", "albums.collection_id"], ondelete="CASCADE"
        ),
        UniqueConstraint("tenant_id", "collection_id", "external_id"),
        Index("ix_photos_listed", "tenant_id", "collection_id", "state", "seq"),
        Index(
            "ix_photos_waiting", "tenant_id", text("(attempts > 0)"), "seq", postgresql_where=text("state = 'received'")
        ),
        Index("ix_photos_leased", "tenant_id", "leased_until", postgresql_where=text("state = 'working'")),
        Index("ix_photos_announced", "tenant_id", "not_before", postgresql_where=text("state = 'announced'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    collection_id: Mapped[UUID]
    external_id: Mapped[str]
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    state: Mapped[str] = mapped_column(server_default="received")
    attempts: Mapped[int] = mapped_column(server_default="0")
    lease: Mapped[UUID | None]
    leased_until: Mapped[datetime | None]
    has_object: Mapped[bool] = mapped_column(server_default="true")
    key_id: Mapped[str | None]
    source: Mapped[str | None]
    fetches: Mapped[int] = mapped_column(server_default="0")
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())
    may_retry: Mapped[bool] = mapped_column(server_default="false")
    digest: Mapped[bytes | None]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    faces: Mapped[int | None]
    faces_skipped: Mapped[int | None]
    code: Mapped[str | None]
    detail: Mapped[str | None]
    traceparent: Mapped[str | None] = mapped_column(server_default=CURRENT_TRACE)


class PhotoTurnModel(TenantOwned):
    """Whether a tenant has a turn in the job queue, and the number of the last one."""

    __tablename__ = "photo_turns"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),)

    number: Mapped[int] = mapped_column(BigInteger, server_default="0")
    is_queued: Mapped[bool] = mapped_column(server_default="false")


class FaceCropModel(TenantOwned):
    """The kept picture of a stored face, encrypted; it goes with its photo or video."""

    __tablename__ = "face_crops"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "photo_id"], ["photos.tenant_id", "photos.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "video_id"], ["videos.tenant_id", "videos.id"], ondelete="CASCADE"),
        Index("ix_face_crops_tenant_id_photo_id", "tenant_id", "photo_id"),
        Index(
            "ix_face_crops_tenant_id_video_id",
            "tenant_id",
            "video_id",
            postgresql_where=text("video_id IS NOT NULL"),
        ),
    )

    face_id: Mapped[UUID] = mapped_column(primary_key=True)
    photo_id: Mapped[UUID | None]
    video_id: Mapped[UUID | None]
    key_id: Mapped[str]
    picture: Mapped[bytes]


class AlbumLinkModel(TenantRow):
    """A guest's link to search an album by a photo of the guest."""

    __tablename__ = "album_links"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["albums.tenant_id", "albums.collection_id"], ondelete="CASCADE"
        ),
        UniqueConstraint("public_id"),
        Index("ix_album_links_tenant_id_collection_id", "tenant_id", "collection_id"),
    )

    collection_id: Mapped[UUID]
    public_id: Mapped[str]
    key_id: Mapped[str]
    secret_hmac: Mapped[bytes]
    label: Mapped[str | None]
    consent_text: Mapped[str]
    rate: Mapped[str]
    searches: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_by: Mapped[str]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class DiscardedObjectModel(Base):
    """An object of the spool that is to be deleted: its photo is finished or erased. Triggers of `photos` write it."""

    __tablename__ = "discarded_objects"

    object_key: Mapped[str] = mapped_column(primary_key=True)
    discarded_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """When it may be deleted."""
    again_at: Mapped[datetime | None]
    """When to delete it once more: until then, somebody may upload it again."""
