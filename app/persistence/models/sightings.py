"""Sightings: whom the faces of albums show; the collections looked for; what people decided, and can undo."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.persistence.models.base import TenantOwned, TenantRow


class AlbumPeopleModel(TenantOwned):
    """A collection whose people are looked for in an album.

    - `begun_seq`: the newest template that a comparison with the album's faces has begun with.
    - `done_seq`: the newest template that has been compared with all of them.
    - `recognizer`: whose sequence numbers these are.
    """

    __tablename__ = "album_people"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["albums.tenant_id", "albums.collection_id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "people_id"], ["collections.tenant_id", "collections.id"], ondelete="CASCADE"
        ),
        Index("ix_album_people_tenant_id_people_id", "tenant_id", "people_id"),
    )

    collection_id: Mapped[UUID] = mapped_column(primary_key=True)
    people_id: Mapped[UUID] = mapped_column(primary_key=True)
    recognizer: Mapped[str | None]
    begun_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    done_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    leased_until: Mapped[datetime | None]


class SightingModel(TenantOwned):
    """A face of an album's photo, or of a pool. Triggers erase it with its face, and open it again with its subject.

    `is_stale` says that what the machine decided must be decided again.
    """

    __tablename__ = "sightings"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["albums.tenant_id", "albums.collection_id"], ondelete="CASCADE"
        ),
        Index("ix_sightings_listed", "tenant_id", "collection_id", "state", "seq"),
        Index("ix_sightings_seen", "tenant_id", "collection_id", "seen_at"),
        Index(
            "ix_sightings_subject", "tenant_id", "subject_id", "seq", postgresql_where=text("subject_id IS NOT NULL")
        ),
        Index(
            "ix_sightings_matched", "tenant_id", "matched_face_id", postgresql_where=text("matched_face_id IS NOT NULL")
        ),
        Index("ix_sightings_photo", "tenant_id", "photo_id"),
        Index(
            "ix_sightings_cluster",
            "tenant_id",
            "collection_id",
            "cluster_id",
            postgresql_where=text("cluster_id IS NOT NULL"),
        ),
        Index(
            "ix_sightings_unclustered",
            "tenant_id",
            "collection_id",
            "seq",
            postgresql_where=text("cluster_id IS NULL AND state IN ('pending', 'review', 'rejected')"),
        ),
        Index(
            "ix_sightings_known_in_cluster",
            "tenant_id",
            "collection_id",
            postgresql_where=text("cluster_id IS NOT NULL AND state IN ('matched', 'ignored')"),
        ),
        Index("ix_sightings_stale", "tenant_id", "collection_id", postgresql_where=text("is_stale")),
    )

    face_id: Mapped[UUID] = mapped_column(primary_key=True)
    collection_id: Mapped[UUID]
    photo_id: Mapped[UUID]
    """The image id of the face, which an album's photo shares."""
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    state: Mapped[str] = mapped_column(server_default="pending")
    subject_id: Mapped[UUID | None]
    matched_face_id: Mapped[UUID | None]
    similarity: Mapped[float | None]
    false_match_rate: Mapped[float | None]
    decided_by: Mapped[str] = mapped_column(server_default="machine")
    decided_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    is_stale: Mapped[bool] = mapped_column(server_default="false")
    cluster_id: Mapped[UUID | None]
    """Which other unknown faces probably show the same person."""


class SightingRejectionModel(TenantOwned):
    """A person said that a face does not show a subject; the machine never suggests it again."""

    __tablename__ = "sighting_rejections"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "face_id"], ["sightings.tenant_id", "sightings.face_id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["tenant_id", "subject_id"], ["subjects.tenant_id", "subjects.id"], ondelete="CASCADE"),
        Index("ix_sighting_rejections_tenant_id_subject_id", "tenant_id", "subject_id"),
    )

    face_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    rejected_by: Mapped[str]
    rejected_at: Mapped[datetime] = mapped_column(server_default=func.now())


class FaceConstraintModel(TenantOwned):
    """What a person said about two faces of an album: they show the same person, or two."""

    __tablename__ = "face_constraints"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "face_id"],
            ["sightings.tenant_id", "sightings.face_id"],
            name="fk_face_constraints_sightings_face_id",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "other_id"],
            ["sightings.tenant_id", "sightings.face_id"],
            name="fk_face_constraints_sightings_other_id",
            ondelete="CASCADE",
        ),
        Index("ix_face_constraints_tenant_id_other_id", "tenant_id", "other_id"),
        Index("ix_face_constraints_tenant_id_collection_id", "tenant_id", "collection_id"),
    )

    face_id: Mapped[UUID] = mapped_column(primary_key=True)
    other_id: Mapped[UUID] = mapped_column(primary_key=True)
    collection_id: Mapped[UUID]
    are_same: Mapped[bool]
    said_by: Mapped[str]
    said_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OperationModel(TenantRow):
    """What a person changed at once, with what was before, so that it can be undone."""

    __tablename__ = "operations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["albums.tenant_id", "albums.collection_id"], ondelete="CASCADE"
        ),
        Index("ix_operations_tenant_id_collection_id_created_at", "tenant_id", "collection_id", "created_at"),
    )

    collection_id: Mapped[UUID]
    kind: Mapped[str]
    actor: Mapped[str]
    before: Mapped[dict[str, Any]]
    undone_at: Mapped[datetime | None]
