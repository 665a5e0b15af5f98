"""Let a process follow the progress of videos of all tenants, in one statement."""

from collections.abc import Sequence

from alembic import op

from migrations.isolation import APP_ROLE, OPERATOR_ROLE

revision: str = "0040"
down_revision: str | None = "0039"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Runs as the owner of the tables and returns states and counts only, like those of 0024.
FOLLOW_VIDEOS = """
CREATE FUNCTION vultus_follow_videos(tenants uuid[], videos uuid[])
RETURNS TABLE (video uuid, state text, position_ms bigint, duration_ms bigint, people integer, code text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT v.id, v.state,
           coalesce((SELECT sum(s.end_ms - s.begin_ms) FROM video_steps s
                     WHERE s.tenant_id = v.tenant_id AND s.video_id = v.id AND s.state = 'done'), 0)::bigint,
           v.duration_ms, v.people, v.code
    FROM unnest(tenants, videos) AS wanted(tenant_id, video_id)
    JOIN public.videos v ON v.tenant_id = wanted.tenant_id AND v.id = wanted.video_id
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(FOLLOW_VIDEOS)
    op.execute("REVOKE ALL ON FUNCTION vultus_follow_videos(uuid[], uuid[]) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION vultus_follow_videos(uuid[], uuid[]) TO {APP_ROLE}, {OPERATOR_ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_follow_videos(uuid[], uuid[])")
