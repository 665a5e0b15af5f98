"""Let the Rekognition protocol look at videos that belong to no album: jobs, the faces they saw, and whom these match."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.isolation import APP_ROLE, OPERATOR_ROLE, isolate

revision: str = "0041"
down_revision: str | None = "0040"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

TABLES = ("video_jobs", "video_job_faces", "video_job_matches")

# What a job found of a face goes with the last template of the face, as appearances do (0035).
_ERASE = """
CREATE OR REPLACE FUNCTION erase_appearances() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM appearances a USING old_rows o WHERE a.tenant_id = o.tenant_id AND a.face_id = o.id
    AND NOT EXISTS (SELECT 1 FROM templates t WHERE t.tenant_id = o.tenant_id AND t.id = o.id);{more}
    RETURN NULL;
END $$
"""
ERASE = _ERASE.format(
    more="""
    DELETE FROM video_job_matches m USING old_rows o WHERE m.tenant_id = o.tenant_id AND m.face_id = o.id
    AND NOT EXISTS (SELECT 1 FROM templates t WHERE t.tenant_id = o.tenant_id AND t.id = o.id);"""
)
OLD_ERASE = _ERASE.format(more="")

# Runs as the owner of the tables and returns a count only, like those of 0024.
FORGET_JOBS = """
CREATE FUNCTION vultus_forget_video_jobs() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH forgotten AS (
        DELETE FROM videos WHERE collection_id IS NULL AND received_at < now() - interval '7 days' RETURNING id
    ) SELECT count(*) FROM forgotten
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.alter_column("videos", "collection_id", nullable=True)
    op.create_table(
        "video_jobs",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=True),
        sa.Column("collection_id", sa.Uuid(), nullable=True),
        sa.Column("min_similarity", sa.Float(), nullable=True),
        sa.Column("tag", sa.Text(), nullable=True),
        _belongs("video_jobs"),
        sa.PrimaryKeyConstraint("tenant_id", "video_id", name=op.f("pk_video_jobs")),
    )
    op.create_table(
        "video_job_faces",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.Integer(), nullable=False),
        sa.Column("box", postgresql.ARRAY(sa.Float()), nullable=False),
        sa.Column("detection_score", sa.Float(), nullable=False),
        _belongs("video_job_faces"),
        sa.PrimaryKeyConstraint("tenant_id", "video_id", "at_ms", "person", name=op.f("pk_video_job_faces")),
    )
    op.create_index("ix_video_job_faces_person", "video_job_faces", ["tenant_id", "video_id", "person", "at_ms"])
    op.create_table(
        "video_job_matches",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Integer(), nullable=False),
        sa.Column("face_id", sa.Uuid(), nullable=False),
        sa.Column("similarity", sa.Float(), nullable=False),
        _belongs("video_job_matches"),
        sa.PrimaryKeyConstraint("tenant_id", "video_id", "person", "face_id", name=op.f("pk_video_job_matches")),
    )
    op.create_index("ix_video_job_matches_face", "video_job_matches", ["tenant_id", "face_id"])
    for table in TABLES:
        isolate(table)
    op.execute("CREATE POLICY erasing ON video_job_matches TO CURRENT_USER USING (true)")
    op.execute("CREATE POLICY forgetting ON videos FOR DELETE TO CURRENT_USER USING (collection_id IS NULL)")
    op.execute(ERASE)
    op.execute(FORGET_JOBS)
    op.execute("REVOKE ALL ON FUNCTION vultus_forget_video_jobs() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION vultus_forget_video_jobs() TO {APP_ROLE}, {OPERATOR_ROLE}")


def _belongs(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", "video_id"],
        ["videos.tenant_id", "videos.id"],
        name=op.f(f"fk_{table}_videos"),
        ondelete="CASCADE",
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_forget_video_jobs()")
    op.execute("DELETE FROM videos WHERE collection_id IS NULL")
    op.execute("DROP POLICY forgetting ON videos")
    op.execute(OLD_ERASE)
    for table in reversed(TABLES):
        op.drop_table(table)
    op.alter_column("videos", "collection_id", nullable=False)
