"""Create a function that reads a page of a collection's subjects in one round trip."""

from collections.abc import Sequence

from alembic import op

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Returns no row without such a collection, and a row without a subject for an empty page.
LIST_SUBJECTS = """
CREATE FUNCTION vultus_list_subjects(tenant uuid, wanted text, after text, max_rows integer)
RETURNS TABLE (
    collection_id uuid, subject text, name text, metadata text, created_at timestamptz, updated_at timestamptz,
    templates bigint, expires_at timestamptz, consent text, consented_at timestamptz, consent_recorded_by text,
    consent_withdrawn_at timestamptz
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    found_id uuid;
BEGIN
    PERFORM vultus_enter(tenant);
    SELECT c.id INTO found_id FROM collections c WHERE c.tenant_id = tenant AND c.name = wanted;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT found_id, s.subject::text, s.name::text, s.metadata::text, s.created_at, s.updated_at,
               (SELECT count(DISTINCT t.id) FROM templates t WHERE t.tenant_id = tenant AND t.subject_id = s.id),
               s.expires_at, s.consent::text, s.consented_at, s.consent_recorded_by::text, s.consent_withdrawn_at
        FROM subjects s
        WHERE s.tenant_id = tenant AND s.collection_id = found_id AND s.subject > after
        ORDER BY s.subject LIMIT max_rows;
    IF NOT FOUND THEN
        collection_id := found_id;
        RETURN NEXT;
    END IF;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(LIST_SUBJECTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_list_subjects(uuid, text, text, integer)")
