"""Rename columns and tables to standard terms: secondary recognizer, login attempts."""

from collections.abc import Sequence

from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

FIND_GALLERY = """
CREATE FUNCTION vultus_find_gallery(tenant uuid, wanted text)
RETURNS TABLE (id uuid, recognizer text, {secondary} text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM vultus_enter(tenant);
    RETURN QUERY SELECT c.id, c.recognizer::text, c.{secondary}::text
                 FROM collections c WHERE c.tenant_id = $1 AND c.name = $2;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _rename_secondary_recognizer("recognizer_beside", "secondary_recognizer")
    op.rename_table("login_tries", "login_attempts")
    op.execute("ALTER TABLE login_attempts RENAME COLUMN tries TO attempts")
    op.execute("ALTER TABLE login_attempts RENAME CONSTRAINT pk_login_tries TO pk_login_attempts")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE login_attempts RENAME CONSTRAINT pk_login_attempts TO pk_login_tries")
    op.execute("ALTER TABLE login_attempts RENAME COLUMN attempts TO tries")
    op.rename_table("login_attempts", "login_tries")
    _rename_secondary_recognizer("secondary_recognizer", "recognizer_beside")


def _rename_secondary_recognizer(old: str, new: str) -> None:
    op.execute("DROP FUNCTION vultus_find_gallery(uuid, text)")
    op.execute(f"ALTER TABLE collections RENAME COLUMN {old} TO {new}")
    op.execute(FIND_GALLERY.format(secondary=new))
