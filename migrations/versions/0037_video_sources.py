"""Let videos be uploaded to the bucket, or fetched from the tenant's own object store."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import APP_ROLE, OPERATOR_ROLE

revision: str = "0037"
down_revision: str | None = "0036"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# The object that a caller uploads has the id of the video itself, and no key. Whoever has the form may use it until it
# expires, also after the video is finished or erased: that object is deleted once more then, as for photos (0030).
AGAIN = """CASE WHEN part = o.id AND o.received_at > now() - interval '20 minutes'
           THEN o.received_at + interval '20 minutes' END"""
DISCARD_FINISHED = f"""
CREATE OR REPLACE FUNCTION discard_finished_videos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key, again_at)
    SELECT o.tenant_id || '/' || part, {AGAIN} FROM new_rows n
    JOIN old_rows o ON o.tenant_id = n.tenant_id AND o.id = n.id, unnest(o.parts) AS part
    WHERE part <> ALL (n.parts)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
DISCARD_ERASED = f"""
CREATE OR REPLACE FUNCTION discard_erased_videos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key, again_at)
    SELECT o.tenant_id || '/' || part, {AGAIN} FROM old_rows o, unnest(o.parts) AS part
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
OLD_DISCARD_FINISHED = """
CREATE OR REPLACE FUNCTION discard_finished_videos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key)
    SELECT o.tenant_id || '/' || part FROM new_rows n
    JOIN old_rows o ON o.tenant_id = n.tenant_id AND o.id = n.id, unnest(o.parts) AS part
    WHERE part <> ALL (n.parts)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
OLD_DISCARD_ERASED = """
CREATE OR REPLACE FUNCTION discard_erased_videos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key)
    SELECT tenant_id || '/' || part FROM old_rows, unnest(parts) AS part
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
# Runs as the owner of the tables and returns ids only, like those of 0024.
ANNOUNCED_VIDEOS = """
CREATE FUNCTION vultus_announced_videos(videos_a_round integer) RETURNS TABLE (tenant uuid, video uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT tenant_id, id FROM videos WHERE state = 'announced' AND not_before <= now()
    ORDER BY not_before, received_at LIMIT videos_a_round
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("videos", sa.Column("source", sa.Text(), nullable=True))
    op.add_column("videos", sa.Column("source_version", sa.Text(), nullable=True))
    op.add_column(
        "videos",
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.create_index(
        "ix_videos_announced", "videos", ["tenant_id", "not_before"], postgresql_where=sa.text("state = 'announced'")
    )
    for function in (DISCARD_FINISHED, DISCARD_ERASED, ANNOUNCED_VIDEOS):
        op.execute(function)
    op.execute("REVOKE ALL ON FUNCTION vultus_announced_videos(integer) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION vultus_announced_videos(integer) TO {APP_ROLE}, {OPERATOR_ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for function in (OLD_DISCARD_FINISHED, OLD_DISCARD_ERASED):
        op.execute(function)
    op.execute("DROP FUNCTION vultus_announced_videos(integer)")
    op.drop_index("ix_videos_announced", "videos")
    for column in ("not_before", "source_version", "source"):
        op.drop_column("videos", column)
