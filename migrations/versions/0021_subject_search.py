"""Find subjects by words of their id and name, by metadata and by time, each with an index that begins with the tenant.

`subject_terms` holds each word, in scripts without spaces also from each of its letters on, and a digest of each metadata value. Comparisons of text
are leakproof, so row-level security leaves its index usable; those of GIN indexes are not. Fills the table for all
stored subjects: stop the service first if there are many, since the table of subjects is locked meanwhile.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import isolate

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Lower case of all scripts needs a collation that knows them; the database's own may be `C`.
COLLATIONS = ("pg_c_utf8", "C.utf8", "und-x-icu", "en_US.utf8")

# Letters that decompose into no plain letter, and what people type instead.
FOLD = """
CREATE FUNCTION vultus_fold(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURNS NULL ON NULL INPUT
AS $$ SELECT translate(
    replace(replace(replace(
        regexp_replace(lower(normalize(value, NFKD){collation}), '[\\u0300-\\u036f]+', '', 'g'),
    'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'),
    'øłđıħŧ\u03c2', 'oldiht\u03c3'
) $$
"""
WORDS = """
CREATE FUNCTION vultus_words(value text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURNS NULL ON NULL INPUT
AS $$ SELECT array_remove(
    regexp_split_to_array(
        vultus_fold(value), '[\\x01-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\\xa0\\u2000-\\u206f\\u3000-\\u3002]+'
    ), ''
) $$
"""
METADATA_TERM = """
CREATE FUNCTION vultus_metadata_term(key text, value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 'm' || encode(substr(sha256(convert_to(length(key) || ':' || key || value, 'UTF8')), 1, 15), 'base64') $$
"""
TERMS = """
CREATE FUNCTION vultus_subject_terms(subject text, name text, metadata jsonb, is_anonymous boolean)
RETURNS SETOF text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT DISTINCT 'w' || substr(word, start)
    FROM unnest(vultus_words(CASE WHEN $4 THEN '' ELSE $1 END || ' ' || coalesce($2, ''))) AS word,
        generate_series(1, CASE WHEN word ~ '[\u2e80-\uffff]' THEN length(word) ELSE 1 END) AS start
    UNION ALL
    SELECT vultus_metadata_term(key, value #>> '{}')
    FROM jsonb_each(CASE WHEN jsonb_typeof($3) = 'object' THEN $3 ELSE '{}' END)
    WHERE jsonb_typeof(value) IN ('string', 'number', 'boolean')
$$
"""
INDEX_SUBJECT = """
CREATE FUNCTION vultus_index_subject() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM subject_terms WHERE tenant_id = NEW.tenant_id AND collection_id = NEW.collection_id
            AND subject IN (OLD.subject, NEW.subject);
    END IF;
    INSERT INTO subject_terms (tenant_id, collection_id, term, subject)
    SELECT NEW.tenant_id, NEW.collection_id, term, NEW.subject
    FROM vultus_subject_terms(NEW.subject, NEW.name, NEW.metadata, NEW.is_anonymous) AS term
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
TRIGGERS = (
    """
CREATE TRIGGER index_new_subject AFTER INSERT ON subjects FOR EACH ROW
WHEN (NOT NEW.is_anonymous OR NEW.name IS NOT NULL OR NEW.metadata <> '{}')
EXECUTE FUNCTION vultus_index_subject()
""",
    """
CREATE TRIGGER index_changed_subject AFTER UPDATE OF subject, name, metadata, is_anonymous ON subjects FOR EACH ROW
WHEN ((OLD.subject, OLD.name, OLD.metadata, OLD.is_anonymous)
      IS DISTINCT FROM (NEW.subject, NEW.name, NEW.metadata, NEW.is_anonymous))
EXECUTE FUNCTION vultus_index_subject()
""",
)
FILL = """
INSERT INTO subject_terms (tenant_id, collection_id, term, subject)
SELECT s.tenant_id, s.collection_id, term, s.subject
FROM subjects s, vultus_subject_terms(s.subject, s.name, s.metadata, s.is_anonymous) AS term
ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(FOLD.format(collation=_find_collation()))
    for statement in (WORDS, METADATA_TERM, TERMS):
        op.execute(statement)
    op.create_table(
        "subject_terms",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("term", sa.Text(collation="C"), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "collection_id", "subject"],
            ["subjects.tenant_id", "subjects.collection_id", "subjects.subject"],
            name=op.f("fk_subject_terms_subjects"),
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "collection_id", "term", "subject", name=op.f("pk_subject_terms")),
    )
    op.create_index("ix_subject_terms_subject", "subject_terms", ["tenant_id", "collection_id", "subject"])
    op.create_index(
        "ix_subjects_created_at",
        "subjects",
        ["tenant_id", "collection_id", "created_at"],
        postgresql_include=["subject"],
    )
    # Forced row-level security applies to the owner too, which must see every tenant's rows.
    op.execute("ALTER TABLE subjects NO FORCE ROW LEVEL SECURITY")
    op.execute(FILL)
    op.execute("ALTER TABLE subjects FORCE ROW LEVEL SECURITY")
    isolate("subject_terms")
    op.execute(INDEX_SUBJECT)
    for trigger in TRIGGERS:
        op.execute(trigger)


def _find_collation() -> str:
    names = sa.text("SELECT collname FROM pg_collation WHERE collencoding IN (-1, pg_char_to_encoding('UTF8'))")
    known = set(op.get_bind().scalars(names))
    found = next((name for name in COLLATIONS if name in known), None)
    return f' COLLATE "{found}"' if found is not None else ""


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for trigger in ("index_changed_subject", "index_new_subject"):
        op.execute(f"DROP TRIGGER {trigger} ON subjects")
    op.execute("DROP FUNCTION vultus_index_subject()")
    op.drop_index("ix_subjects_created_at", table_name="subjects")
    op.drop_table("subject_terms")
    op.execute("DROP FUNCTION vultus_subject_terms(text, text, jsonb, boolean)")
    op.execute("DROP FUNCTION vultus_metadata_term(text, text)")
    op.execute("DROP FUNCTION vultus_words(text)")
    op.execute("DROP FUNCTION vultus_fold(text)")
