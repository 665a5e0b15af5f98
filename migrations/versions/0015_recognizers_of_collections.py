"""Add each collection's recognizer and secondary recognizer; a face has one template per recognizer."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Like `vultus_find_collection` (0006), plus the recognizers. The old function stays for processes of the old version.
FIND_GALLERY = """
CREATE FUNCTION vultus_find_gallery(tenant uuid, wanted text)
RETURNS TABLE (id uuid, recognizer text, recognizer_beside text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM vultus_enter(tenant);
    RETURN QUERY SELECT c.id, c.recognizer::text, c.recognizer_beside::text
                 FROM collections c WHERE c.tenant_id = $1 AND c.name = $2;
END $$
"""

# As in 0013; a face's templates share its id, so the gallery distinguishes them.
NOTE_CHANGED = """
CREATE OR REPLACE FUNCTION note_changed_templates() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE galleries g SET epoch = g.epoch + 1 FROM (
        SELECT DISTINCT n.tenant_id, n.gallery_id FROM new_rows n
        JOIN old_rows o ON o.tenant_id = n.tenant_id AND o.id = n.id{same_gallery} AND o.seq = n.seq
    ) c WHERE g.tenant_id = c.tenant_id AND g.id = c.gallery_id;
    RETURN NULL;
END $$
"""
SAME_GALLERY = " AND o.gallery_id = n.gallery_id"

# As in 0005; a face may be in two galleries, whose rows are locked in the same order as in registration.
NOTE_DELETED = """
CREATE OR REPLACE FUNCTION note_deleted_templates() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM 1 FROM galleries g
    WHERE (g.tenant_id, g.id) IN (SELECT DISTINCT tenant_id, gallery_id FROM old_rows)
    ORDER BY g.collection_id, g.recognizer COLLATE "C" FOR NO KEY UPDATE;
    UPDATE galleries g SET templates = g.templates - c.n, deletions = g.deletions + c.n FROM
    (SELECT tenant_id, gallery_id, count(*) AS n FROM old_rows GROUP BY tenant_id, gallery_id) c
    WHERE g.tenant_id = c.tenant_id AND g.id = c.gallery_id; RETURN NULL; END $$
"""
NOTE_DELETED_BEFORE = """
CREATE OR REPLACE FUNCTION note_deleted_templates() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE galleries g SET templates = g.templates - c.n, deletions = g.deletions + c.n FROM
    (SELECT tenant_id, gallery_id, count(*) AS n FROM old_rows GROUP BY tenant_id, gallery_id) c
    WHERE g.tenant_id = c.tenant_id AND g.id = c.gallery_id; RETURN NULL; END $$
"""

# A collection whose templates are all of one recognizer keeps it, whatever model pack the server uses. With templates
# of several recognizers, the server's setting decided; it still does, until the next face is stored.
BIND = """
UPDATE collections c SET recognizer = (
    SELECT min(g.recognizer) FROM galleries g
    WHERE g.tenant_id = c.tenant_id AND g.collection_id = c.id AND g.templates > 0 HAVING count(*) = 1
)
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in ("recognizer", "recognizer_beside"):
        op.add_column("collections", sa.Column(name, sa.Text(), nullable=True))
    _as_owner(BIND)
    op.drop_constraint(op.f("pk_templates"), "templates")
    op.create_primary_key(op.f("pk_templates"), "templates", ["tenant_id", "id", "gallery_id"])
    op.execute(NOTE_CHANGED.format(same_gallery=SAME_GALLERY))
    op.execute(NOTE_DELETED)
    op.execute(FIND_GALLERY)


def downgrade() -> None:
    """Restore the old primary key; fails while a face has two templates, which would violate it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    _as_owner(
        "DO $$ BEGIN IF EXISTS (SELECT 1 FROM templates GROUP BY tenant_id, id HAVING count(*) > 1) THEN "
        "RAISE EXCEPTION 'there are faces stored with two recognizers; erase one of them first'; END IF; END $$"
    )
    op.execute("DROP FUNCTION vultus_find_gallery(uuid, text)")
    op.execute(NOTE_DELETED_BEFORE)
    op.execute(NOTE_CHANGED.format(same_gallery=""))
    op.drop_constraint(op.f("pk_templates"), "templates")
    op.create_primary_key(op.f("pk_templates"), "templates", ["tenant_id", "id"])
    for name in ("recognizer_beside", "recognizer"):
        op.drop_column("collections", name)


def _as_owner(statement: str) -> None:
    """Run a statement for all tenants, without forced row-level security, which applies to the owner too."""
    tables = ("collections", "galleries", "templates")
    for table in tables:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(statement)
    for table in tables:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
