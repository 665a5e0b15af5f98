"""Add anonymous faces, the image and box of each face, tags of collections, and tenants' object stores."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.isolation import isolate

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Assigning a face to another subject gives it a new sequence number, as if it had been erased and stored again. Caches
# of the gallery detect that by `deletions` and `last_seq`. Every other change of a stored face still changes the epoch.
NOTE_CHANGED = """
CREATE OR REPLACE FUNCTION note_changed_templates() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE galleries g SET epoch = g.epoch + 1 FROM (
        SELECT DISTINCT n.tenant_id, n.gallery_id FROM new_rows n
        JOIN old_rows o ON o.tenant_id = n.tenant_id AND o.id = n.id AND o.seq = n.seq
    ) c WHERE g.tenant_id = c.tenant_id AND g.id = c.gallery_id;
    RETURN NULL;
END $$
"""
NOTE_CHANGED_BEFORE = """
CREATE OR REPLACE FUNCTION note_changed_templates() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE galleries g SET epoch = g.epoch + 1 FROM
    (SELECT DISTINCT tenant_id, gallery_id FROM new_rows) c
    WHERE g.tenant_id = c.tenant_id AND g.id = c.gallery_id; RETURN NULL; END $$
"""

# Like `demand_consent` (0009), but for faces assigned to another subject. Making a stored face anonymous needs no
# consent.
DEMAND_CONSENT = """
CREATE FUNCTION demand_consent_of_receiver() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM (
            SELECT DISTINCT n.tenant_id, n.subject_id FROM new_rows n
            JOIN old_rows o ON o.tenant_id = n.tenant_id AND o.id = n.id AND o.subject_id <> n.subject_id
        ) moved
        JOIN subjects s ON s.tenant_id = moved.tenant_id AND s.id = moved.subject_id
        LEFT JOIN tenant_policies p ON p.tenant_id = moved.tenant_id
        WHERE s.consent_withdrawn_at IS NOT NULL
           OR (p.consent_required AND s.consented_at IS NULL AND NOT s.is_anonymous)
    ) THEN
        RAISE EXCEPTION 'a template without consent' USING ERRCODE = 'VU001';
    END IF;
    RETURN NULL;
END $$
"""

TEMPLATE_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("image_id", sa.Uuid()),
    ("external_image_id", sa.Text()),
    ("box", postgresql.ARRAY(sa.Double())),
    ("image_digest", sa.LargeBinary()),
    ("moved_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, kind in TEMPLATE_COLUMNS:
        op.add_column("templates", sa.Column(name, kind, nullable=True))
    op.create_index(
        "ix_templates_tenant_id_collection_id_image_digest",
        "templates",
        ["tenant_id", "collection_id", "image_digest"],
        postgresql_where=sa.text("image_digest IS NOT NULL"),
    )
    op.add_column("subjects", sa.Column("is_anonymous", sa.Boolean(), server_default="false", nullable=False))
    op.create_index(
        "ix_subjects_known",
        "subjects",
        ["tenant_id", "collection_id", "id"],
        postgresql_where=sa.text("NOT is_anonymous"),
    )
    op.add_column("collections", sa.Column("tags", postgresql.JSONB(), server_default="{}", nullable=False))
    op.create_table(
        "object_stores",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("access_key_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("secret_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_object_stores_tenants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_object_stores")),
    )
    isolate("object_stores")
    _mark_anonymous_subjects()
    op.execute("DROP TRIGGER note_changed ON templates")
    op.execute(NOTE_CHANGED)
    op.execute(
        "CREATE TRIGGER note_changed AFTER UPDATE ON templates REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION note_changed_templates()"
    )
    op.execute(DEMAND_CONSENT)
    op.execute(
        "CREATE TRIGGER demand_consent_of_receiver AFTER UPDATE ON templates "
        "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION demand_consent_of_receiver()"
    )


def _mark_anonymous_subjects() -> None:
    """Mark anonymous subjects again by their id, in case a downgrade dropped the mark.

    Runs without forced row-level security, which applies to the owner too.
    """
    for table in ("subjects", "templates"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "UPDATE subjects SET is_anonymous = true FROM templates t WHERE subjects.subject = 'face@' || t.id "
        "AND t.tenant_id = subjects.tenant_id AND t.subject_id = subjects.id"
    )
    for table in ("subjects", "templates"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER demand_consent_of_receiver ON templates")
    op.execute("DROP FUNCTION demand_consent_of_receiver()")
    op.execute("DROP TRIGGER note_changed ON templates")
    op.execute(NOTE_CHANGED_BEFORE)
    op.execute(
        "CREATE TRIGGER note_changed AFTER UPDATE ON templates REFERENCING NEW TABLE AS new_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION note_changed_templates()"
    )
    op.drop_table("object_stores")
    op.drop_column("collections", "tags")
    op.drop_index("ix_subjects_known", table_name="subjects")
    op.drop_column("subjects", "is_anonymous")
    op.drop_index("ix_templates_tenant_id_collection_id_image_digest", table_name="templates")
    for name, _ in reversed(TEMPLATE_COLUMNS):
        op.drop_column("templates", name)
