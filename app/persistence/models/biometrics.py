"""Collections, subjects, galleries and templates: the biometric tables, which refer to no login."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import BIT, HALFVEC
from sqlalchemy import (
    BigInteger,
    Computed,
    Double,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.faces import EMBEDDING_SIZE
from app.persistence.models.base import TenantOwned, TenantRow

MAX_COVERED_SEQ = 10_000
"""Templates up to this sequence number have their embeddings in the covering index; changing it needs a migration."""


class CollectionModel(TenantRow):
    """A tenant's named gallery."""

    __tablename__ = "collections"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "name"),
    )

    name: Mapped[str]
    tags: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    max_false_match_rate: Mapped[float | None]
    review_false_match_rate: Mapped[float | None]
    calibration: Mapped[dict[str, Any] | None]
    """Calibration from the collection's own impostor pairs: recognizer, points, source."""
    recognizer: Mapped[str | None]
    """Searches use this recognizer's templates; None until a face is stored, when it becomes the server's first."""
    secondary_recognizer: Mapped[str | None]
    """New faces are also embedded with this recognizer during a migration."""


class SubjectModel(TenantRow):
    """One person in one collection, under an id that the caller chose."""

    __tablename__ = "subjects"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["collections.tenant_id", "collections.id"], ondelete="CASCADE"
        ),
        UniqueConstraint("tenant_id", "collection_id", "subject"),
        Index(
            "ix_subjects_tenant_id_expires_at",
            "tenant_id",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL"),
        ),
        Index("ix_subjects_tenant_id_updated_at", "tenant_id", "updated_at"),
        # Partial, so that foreign keys never read it: only searches by time imply the condition.
        Index(
            "ix_subjects_created_at",
            "tenant_id",
            "collection_id",
            "created_at",
            postgresql_include=["subject"],
            postgresql_where=text("created_at IS NOT NULL"),
        ),
        Index("ix_subjects_known", "tenant_id", "collection_id", "id", postgresql_where=text("NOT is_anonymous")),
        Index("ix_subjects_erased_with", "tenant_id", "collection_id", postgresql_where=text("erased_with <> '{}'")),
    )

    collection_id: Mapped[UUID]
    subject: Mapped[str]
    name: Mapped[str | None]
    # SQLAlchemy reserves the attribute "metadata" on mapped classes.
    details: Mapped[dict[str, Any]] = mapped_column("metadata", server_default="{}")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    consent: Mapped[str | None]
    consented_at: Mapped[datetime | None]
    consent_recorded_by: Mapped[str | None]
    consent_withdrawn_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    is_anonymous: Mapped[bool] = mapped_column(server_default="false")
    """A placeholder subject for one face that was stored without a name."""
    erased_with: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    """Row ids to enter in the erasure journal when the subject or its collection is erased.

    Those of subjects merged into it, and its own once it moved: older backups hold them elsewhere.
    """


class SubjectTermModel(TenantOwned):
    """A term that finds a subject: a word of the id or name, or a digest of a metadata value.

    Triggers of `subjects` write it (migration 0021).
    """

    __tablename__ = "subject_terms"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id", "subject"],
            ["subjects.tenant_id", "subjects.collection_id", "subjects.subject"],
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        Index("ix_subject_terms_subject", "tenant_id", "collection_id", "subject"),
    )

    collection_id: Mapped[UUID] = mapped_column(primary_key=True)
    term: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)


class GalleryModel(TenantRow):
    """One collection's templates of one recognizer: the set that a search ranks.

    - `last_seq`: sequence number of the newest template. New templates take the next numbers under this row's lock, so
      a transaction that sees `last_seq` also sees every template up to it.
    - `deletions`: counts erased templates. `epoch` changes whenever a stored embedding changes.
    - `graph*`: describe the HNSW index over the sequence numbers up to `graph_upto`.
    """

    __tablename__ = "galleries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["collections.tenant_id", "collections.id"], ondelete="CASCADE"
        ),
        UniqueConstraint("tenant_id", "collection_id", "recognizer"),
    )

    collection_id: Mapped[UUID]
    recognizer: Mapped[str]
    templates: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    deletions: Mapped[int] = mapped_column(BigInteger, server_default="0")
    epoch: Mapped[int] = mapped_column(BigInteger, server_default="0")
    generation: Mapped[int] = mapped_column(server_default="0")
    """Generation of the tenant's salt that protects the embeddings; 0: unprotected."""
    graph: Mapped[str | None]
    graph_upto: Mapped[int | None] = mapped_column(BigInteger)
    graph_recall: Mapped[float | None]
    graph_checked_at: Mapped[datetime | None]
    graph_trusted: Mapped[bool] = mapped_column(server_default="false")


class TemplateModel(TenantRow):
    """The stored record of one face by one recognizer, in half precision, which loses no match (docs/decisions).

    A face stored with two recognizers has two templates with the same id, in two galleries.
    """

    __tablename__ = "templates"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "subject_id"], ["subjects.tenant_id", "subjects.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "gallery_id"], ["galleries.tenant_id", "galleries.id"], ondelete="CASCADE"),
        Index("ix_templates_tenant_id_subject_id_gallery_id_seq", "tenant_id", "subject_id", "gallery_id", "seq"),
        # Searches read only these two indexes: tenant first for row-level security, vectors in the leaves. The first is
        # partial because only small galleries compare full embeddings; in large ones it would slow registration.
        Index(
            "ix_templates_search",
            "tenant_id",
            "gallery_id",
            "seq",
            postgresql_include=["subject_id", "embedding"],
            postgresql_where=text(f"seq <= {MAX_COVERED_SEQ}"),
        ),
        Index("ix_templates_codes", "tenant_id", "gallery_id", "seq", unique=True, postgresql_include=["code"]),
        Index(
            "ix_templates_tenant_id_collection_id_image_digest",
            "tenant_id",
            "collection_id",
            "image_digest",
            postgresql_where=text("image_digest IS NOT NULL"),
        ),
        # Lists and erasures by photo; each gallery is read in the order of its sequence numbers.
        *(
            Index(
                f"ix_templates_tenant_id_gallery_id_{column}_seq",
                "tenant_id",
                "gallery_id",
                column,
                "seq",
                postgresql_where=text(f"{column} IS NOT NULL"),
            )
            for column in ("external_image_id", "image_id")
        ),
    )

    collection_id: Mapped[UUID]
    subject_id: Mapped[UUID]
    gallery_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    recognizer: Mapped[str]
    embedding: Mapped[Any] = mapped_column(HALFVEC(EMBEDDING_SIZE), deferred=True)
    code: Mapped[Any] = mapped_column(
        BIT(EMBEDDING_SIZE),
        Computed("binary_quantize(embedding)::bit(512)", persisted=True),
        deferred=True,
        nullable=True,
    )
    """The signs of the embedding's 512 values, one bit each; PostgreSQL generates it."""
    detection_score: Mapped[float]
    quality: Mapped[dict[str, Any]]
    source: Mapped[str]
    image_id: Mapped[UUID | None]
    """Shared by all faces stored from one image in one request."""
    external_image_id: Mapped[str | None]
    box: Mapped[list[float] | None] = mapped_column(ARRAY(Double))
    """Left, top, width and height of the face in its image, as fractions of the image's width and height."""
    image_digest: Mapped[bytes | None]
    """A keyed digest of image, collection and external id, set only for faces whose registration is idempotent."""
    moved_at: Mapped[datetime | None]
    """When the face was assigned to its current subject; None if it always belonged to it."""


class TemplateSaltModel(TenantOwned):
    """A salt of the rotation that protects a tenant's embeddings; new galleries use the newest one."""

    __tablename__ = "template_salts"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),)

    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    salt: Mapped[bytes]
    key_id: Mapped[str]
