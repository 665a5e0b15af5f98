"""Keep a picture of the best face of each person who appears in a video."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0038"
down_revision: str | None = "0037"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("videos", sa.Column("keep", sa.Text(), nullable=True))
    op.alter_column("face_crops", "photo_id", nullable=True)
    op.add_column("face_crops", sa.Column("video_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_face_crops_videos"),
        "face_crops",
        "videos",
        ["tenant_id", "video_id"],
        ["tenant_id", "id"],
        ondelete="CASCADE",
    )
    op.create_index(
        "ix_face_crops_tenant_id_video_id",
        "face_crops",
        ["tenant_id", "video_id"],
        postgresql_where=sa.text("video_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_face_crops_tenant_id_video_id", "face_crops")
    op.drop_constraint(op.f("fk_face_crops_videos"), "face_crops", type_="foreignkey")
    # Row-level security holds for the owner too, who sees none of the pictures of videos.
    op.execute("ALTER TABLE face_crops NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM face_crops WHERE photo_id IS NULL")
    op.execute("ALTER TABLE face_crops FORCE ROW LEVEL SECURITY")
    op.drop_column("face_crops", "video_id")
    op.alter_column("face_crops", "photo_id", nullable=False)
    op.drop_column("videos", "keep")
