"""Create videos, the steps in which workers process them, and the appearances of people in them."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.isolation import APP_ROLE, OPERATOR_ROLE, isolate

revision: str = "0035"
down_revision: str | None = "0034"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

TABLES = ("videos", "video_steps", "appearances", "appearance_faces")

# A finished or erased video leaves the spool, part by part, as photos do (0024).
DISCARD_FINISHED = """
CREATE FUNCTION discard_finished_videos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key)
    SELECT o.tenant_id || '/' || part FROM new_rows n
    JOIN old_rows o ON o.tenant_id = n.tenant_id AND o.id = n.id, unnest(o.parts) AS part
    WHERE part <> ALL (n.parts)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
DISCARD_ERASED = """
CREATE FUNCTION discard_erased_videos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key)
    SELECT tenant_id || '/' || part FROM old_rows, unnest(parts) AS part
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
# An appearance goes with the last template of its face.
ERASE_APPEARANCES = """
CREATE FUNCTION erase_appearances() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM appearances a USING old_rows o WHERE a.tenant_id = o.tenant_id AND a.face_id = o.id
    AND NOT EXISTS (SELECT 1 FROM templates t WHERE t.tenant_id = o.tenant_id AND t.id = o.id);
    RETURN NULL;
END $$
"""
# These run as the owner of the tables and return ids and counts only, like those of 0024.
TENANTS_WITH_LOST_VIDEOS = """
CREATE FUNCTION vultus_tenants_with_lost_videos(grace_s float8) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT s.tenant_id FROM video_steps s
    WHERE (s.state = 'working' AND s.leased_until < now())
       OR (s.state = 'waiting' AND s.waiting_since < now() - make_interval(secs => grace_s)
           AND NOT EXISTS (SELECT 1 FROM pgqueuer j WHERE j.entrypoint = 'videos.turn'
                           AND j.payload = uuid_send(s.tenant_id) AND j.status IN ('queued', 'picked')))
    UNION
    SELECT DISTINCT tenant_id FROM videos WHERE state = 'uploading' AND changed_at < now() - interval '1 hour'
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_videos()
    _create_steps()
    _create_appearances()
    for table in TABLES:
        isolate(table)
    # `pg_dump` reads the sequences of the tables.
    op.execute(f"GRANT SELECT ON SEQUENCE videos_seq_seq TO {APP_ROLE}, {OPERATOR_ROLE}")
    for table in ("videos", "video_steps"):
        op.execute(f"CREATE POLICY watching ON {table} FOR SELECT TO CURRENT_USER USING (true)")
    op.execute("CREATE POLICY erasing ON appearances TO CURRENT_USER USING (true)")
    for function in (DISCARD_FINISHED, DISCARD_ERASED, ERASE_APPEARANCES, TENANTS_WITH_LOST_VIDEOS):
        op.execute(function)
    op.execute("REVOKE ALL ON FUNCTION vultus_tenants_with_lost_videos(float8) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION vultus_tenants_with_lost_videos(float8) TO {APP_ROLE}, {OPERATOR_ROLE}")
    op.execute(
        "CREATE TRIGGER discard_finished AFTER UPDATE ON videos REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION discard_finished_videos()"
    )
    op.execute(
        "CREATE TRIGGER discard_erased AFTER DELETE ON videos REFERENCING OLD TABLE AS old_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION discard_erased_videos()"
    )
    op.execute(
        "CREATE TRIGGER erase_appearances AFTER DELETE ON templates REFERENCING OLD TABLE AS old_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION erase_appearances()"
    )


def _uuid(name: str, *, is_nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Uuid(), nullable=is_nullable)


def _time(name: str, *, is_nullable: bool = False) -> sa.Column[Any]:
    default = None if is_nullable else sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=is_nullable)


def _belongs(table: str, columns: list[str], target: str, targets: list[str]) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", *columns],
        [f"{target}.tenant_id", *(f"{target}.{column}" for column in targets)],
        name=op.f(f"fk_{table}_{target}"),
        ondelete="CASCADE",
    )


def _create_videos() -> None:
    op.create_table(
        "videos",
        _uuid("tenant_id"),
        _uuid("id"),
        _uuid("collection_id"),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("state", sa.Text(), server_default="uploading", nullable=False),
        sa.Column("per_second", sa.Float(), nullable=False),
        sa.Column("keyframes_only", sa.Boolean(), nullable=False),
        sa.Column("max_minutes", sa.Float(), nullable=False),
        sa.Column("parts", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("key_ids", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("frames_per_second", sa.Float(), nullable=True),
        sa.Column("codec", sa.Text(), nullable=True),
        sa.Column("people", sa.Integer(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        _time("received_at"),
        _time("changed_at"),
        _time("finished_at", is_nullable=True),
        _belongs("videos", ["collection_id"], "albums", ["collection_id"]),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_videos")),
        sa.UniqueConstraint(
            "tenant_id", "collection_id", "external_id", name=op.f("uq_videos_tenant_id_collection_id_external_id")
        ),
    )
    op.create_index("ix_videos_listed", "videos", ["tenant_id", "collection_id", "seq"])


def _create_steps() -> None:
    op.create_table(
        "video_steps",
        _uuid("tenant_id"),
        _uuid("video_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("begin_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("end_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        _uuid("lease", is_nullable=True),
        _time("leased_until", is_nullable=True),
        _time("waiting_since"),
        _belongs("video_steps", ["video_id"], "videos", ["id"]),
        sa.PrimaryKeyConstraint("tenant_id", "video_id", "number", name=op.f("pk_video_steps")),
    )
    op.create_index(
        "ix_video_steps_waiting", "video_steps", ["tenant_id", "state"], postgresql_where=sa.text("state <> 'done'")
    )


def _create_appearances() -> None:
    op.create_table(
        "appearances",
        _uuid("tenant_id"),
        _uuid("id"),
        _uuid("video_id"),
        sa.Column("step", sa.Integer(), nullable=True),
        _uuid("face_id", is_nullable=True),
        sa.Column("begins_ms", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("ends_ms", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("best_ms", sa.BigInteger(), nullable=False),
        sa.Column("box", postgresql.ARRAY(sa.Float()), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("faces", sa.LargeBinary(), nullable=True),
        _belongs("appearances", ["video_id"], "videos", ["id"]),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_appearances")),
    )
    op.create_index("ix_appearances_tenant_id_video_id", "appearances", ["tenant_id", "video_id"])
    op.create_index(
        "ix_appearances_face",
        "appearances",
        ["tenant_id", "face_id"],
        postgresql_where=sa.text("face_id IS NOT NULL"),
    )
    op.create_table(
        "appearance_faces",
        _uuid("tenant_id"),
        _uuid("face_id"),
        _uuid("appearance_id"),
        _belongs("appearance_faces", ["appearance_id"], "appearances", ["id"]),
        sa.PrimaryKeyConstraint("tenant_id", "face_id", name=op.f("pk_appearance_faces")),
    )
    op.create_index("ix_appearance_faces_tenant_id_appearance_id", "appearance_faces", ["tenant_id", "appearance_id"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER erase_appearances ON templates")
    op.execute("DROP FUNCTION vultus_tenants_with_lost_videos(float8)")
    for table in ("appearance_faces", "appearances", "video_steps", "videos"):
        op.drop_table(table)
    for function in ("discard_finished_videos", "discard_erased_videos", "erase_appearances"):
        op.execute(f"DROP FUNCTION {function}()")
