"""Create sightings of people in albums, the collections looked for, rejections, and operations that can be undone."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.isolation import APP_ROLE, OPERATOR_ROLE, isolate

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

TABLES = ("album_people", "sightings", "sighting_rejections", "operations")

# A sighting goes with the last template of its face. Where the face that it was matched with goes, what the machine
# decided is decided again.
ERASED_TEMPLATES = """
CREATE FUNCTION forget_sightings_of_templates() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM sightings s USING old_rows o WHERE s.tenant_id = o.tenant_id AND s.face_id = o.id
    AND NOT EXISTS (SELECT 1 FROM templates t WHERE t.tenant_id = o.tenant_id AND t.id = o.id);
    UPDATE sightings s SET is_stale = true FROM old_rows o
    WHERE s.tenant_id = o.tenant_id AND s.matched_face_id = o.id AND s.decided_by = 'machine' AND NOT s.is_stale;
    RETURN NULL;
END $$
"""
# A subject that is erased is not seen anywhere anymore, whoever decided so.
ERASED_SUBJECTS = """
CREATE FUNCTION forget_sightings_of_subjects() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE sightings s SET state = 'pending', subject_id = NULL, matched_face_id = NULL, similarity = NULL,
           false_match_rate = NULL, decided_by = 'machine', decided_at = now(), is_stale = true
    FROM old_rows o WHERE s.tenant_id = o.tenant_id AND s.subject_id = o.id;
    RETURN NULL;
END $$
"""
# Runs as the owner of the tables and returns ids only.
STALE_PEOPLE = """
CREATE FUNCTION vultus_stale_people() RETURNS TABLE (tenant uuid, album uuid, people uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.tenant_id, p.collection_id, p.people_id
    FROM album_people p
    JOIN collections c ON c.tenant_id = p.tenant_id AND c.id = p.people_id
    LEFT JOIN galleries g ON g.tenant_id = p.tenant_id AND g.collection_id = p.people_id AND g.recognizer = c.recognizer
    WHERE (p.leased_until IS NULL OR p.leased_until < now()) AND (
        (g.id IS NOT NULL AND (g.last_seq > p.done_seq OR p.recognizer IS DISTINCT FROM g.recognizer))
        OR EXISTS (
            SELECT 1 FROM sightings s
            WHERE s.tenant_id = p.tenant_id AND s.collection_id = p.collection_id AND s.is_stale
        )
    )
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_people()
    _create_sightings()
    _create_operations()
    for table in TABLES:
        isolate(table)
    for table in ("album_people", "galleries", "collections"):
        op.execute(f"CREATE POLICY watching_people ON {table} FOR SELECT TO CURRENT_USER USING (true)")
    # Erasing collections and subjects erases templates as the tables' owner, whose triggers change sightings.
    op.execute("CREATE POLICY forgetting ON sightings TO CURRENT_USER USING (true) WITH CHECK (true)")
    for function in (ERASED_TEMPLATES, ERASED_SUBJECTS, STALE_PEOPLE):
        op.execute(function)
    op.execute("REVOKE ALL ON FUNCTION vultus_stale_people() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION vultus_stale_people() TO {APP_ROLE}, {OPERATOR_ROLE}")
    op.execute(
        "CREATE TRIGGER forget_sightings AFTER DELETE ON templates REFERENCING OLD TABLE AS old_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION forget_sightings_of_templates()"
    )
    op.execute(
        "CREATE TRIGGER forget_sightings AFTER DELETE ON subjects REFERENCING OLD TABLE AS old_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION forget_sightings_of_subjects()"
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


def _create_people() -> None:
    op.create_table(
        "album_people",
        _uuid("tenant_id"),
        _uuid("collection_id"),
        _uuid("people_id"),
        sa.Column("recognizer", sa.Text(), nullable=True),
        sa.Column("begun_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("done_seq", sa.BigInteger(), server_default="0", nullable=False),
        _time("leased_until", is_nullable=True),
        _belongs("album_people", ["collection_id"], "albums", ["collection_id"]),
        _belongs("album_people", ["people_id"], "collections", ["id"]),
        sa.PrimaryKeyConstraint("tenant_id", "collection_id", "people_id", name=op.f("pk_album_people")),
    )
    op.create_index("ix_album_people_tenant_id_people_id", "album_people", ["tenant_id", "people_id"])


def _create_sightings() -> None:
    op.create_table(
        "sightings",
        _uuid("tenant_id"),
        _uuid("face_id"),
        _uuid("collection_id"),
        _uuid("photo_id"),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        _uuid("subject_id", is_nullable=True),
        _uuid("matched_face_id", is_nullable=True),
        sa.Column("similarity", sa.Float(), nullable=True),
        sa.Column("false_match_rate", sa.Float(), nullable=True),
        sa.Column("decided_by", sa.Text(), server_default="machine", nullable=False),
        _time("decided_at"),
        _time("seen_at"),
        sa.Column("is_stale", sa.Boolean(), server_default="false", nullable=False),
        _belongs("sightings", ["photo_id"], "photos", ["id"]),
        sa.PrimaryKeyConstraint("tenant_id", "face_id", name=op.f("pk_sightings")),
    )
    op.create_index("ix_sightings_listed", "sightings", ["tenant_id", "collection_id", "state", "seq"])
    for name, columns, condition in (
        ("ix_sightings_subject", ["tenant_id", "subject_id", "seq"], "subject_id IS NOT NULL"),
        ("ix_sightings_matched", ["tenant_id", "matched_face_id"], "matched_face_id IS NOT NULL"),
        ("ix_sightings_stale", ["tenant_id", "collection_id"], "is_stale"),
    ):
        op.create_index(name, "sightings", columns, postgresql_where=sa.text(condition))
    op.create_index("ix_sightings_photo", "sightings", ["tenant_id", "photo_id"])
    op.create_table(
        "sighting_rejections",
        _uuid("tenant_id"),
        _uuid("face_id"),
        _uuid("subject_id"),
        sa.Column("rejected_by", sa.Text(), nullable=False),
        _time("rejected_at"),
        _belongs("sighting_rejections", ["face_id"], "sightings", ["face_id"]),
        _belongs("sighting_rejections", ["subject_id"], "subjects", ["id"]),
        sa.PrimaryKeyConstraint("tenant_id", "face_id", "subject_id", name=op.f("pk_sighting_rejections")),
    )
    op.create_index("ix_sighting_rejections_tenant_id_subject_id", "sighting_rejections", ["tenant_id", "subject_id"])


def _create_operations() -> None:
    op.create_table(
        "operations",
        _uuid("tenant_id"),
        _uuid("id"),
        _time("created_at"),
        _uuid("collection_id"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB(), nullable=False),
        _time("undone_at", is_nullable=True),
        _belongs("operations", ["collection_id"], "albums", ["collection_id"]),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_operations")),
    )
    op.create_index(
        "ix_operations_tenant_id_collection_id_created_at", "operations", ["tenant_id", "collection_id", "created_at"]
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("templates", "subjects"):
        op.execute(f"DROP TRIGGER forget_sightings ON {table}")
    for function in ("forget_sightings_of_templates", "forget_sightings_of_subjects", "vultus_stale_people"):
        op.execute(f"DROP FUNCTION {function}()")
    for table in ("galleries", "collections"):
        op.execute(f"DROP POLICY watching_people ON {table}")
    for table in ("operations", "sighting_rejections", "sightings", "album_people"):
        op.drop_table(table)
