"""Jobs that look at a video of no album for the Rekognition protocol, and what they found; kept for seven days."""

from uuid import UUID

from sqlalchemy import BigInteger, Double, ForeignKeyConstraint, Index
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.persistence.models.base import TenantOwned


def _of_video() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id", "video_id"], ["videos.tenant_id", "videos.id"], ondelete="CASCADE")


class VideoJobModel(TenantOwned):
    """What is wanted of a video: `kind` as in `JobKind`. `collection` is searched, as long as it has this id."""

    __tablename__ = "video_jobs"
    __table_args__ = (_of_video(),)

    video_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    collection: Mapped[str | None]
    collection_id: Mapped[UUID | None]
    min_similarity: Mapped[float | None]
    tag: Mapped[str | None]


class VideoJobFaceModel(TenantOwned):
    """A face at a time of a job's video; `person` numbers those who appear. No template."""

    __tablename__ = "video_job_faces"
    __table_args__ = (
        _of_video(),
        Index("ix_video_job_faces_person", "tenant_id", "video_id", "person", "at_ms"),
    )

    video_id: Mapped[UUID] = mapped_column(primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    person: Mapped[int] = mapped_column(primary_key=True)
    box: Mapped[list[float]] = mapped_column(ARRAY(Double))
    detection_score: Mapped[float]


class VideoJobMatchModel(TenantOwned):
    """A stored face that a person in a job's video resembles; erased with the face."""

    __tablename__ = "video_job_matches"
    __table_args__ = (_of_video(), Index("ix_video_job_matches_face", "tenant_id", "face_id"))

    video_id: Mapped[UUID] = mapped_column(primary_key=True)
    person: Mapped[int] = mapped_column(primary_key=True)
    face_id: Mapped[UUID] = mapped_column(primary_key=True)
    similarity: Mapped[float]
