"""Create the query of cached searches: check the gallery's version and name subjects, in one round trip."""

from collections.abc import Sequence

from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Runs with the caller's rights in the row-level security role, as in 0006. Returns no row if the gallery has another
# version, and fewer names than requested if a subject is missing.
NAME_SUBJECTS = """
CREATE FUNCTION vultus_name_subjects(
    tenant uuid, gallery uuid, collection text, seq bigint, deletion bigint, at_epoch bigint, wanted uuid[]
)
RETURNS TABLE (subjects text[], names text[]) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM vultus_enter(tenant);
    RETURN QUERY
        SELECT array_agg(s.subject::text ORDER BY one.ordinal), array_agg(s.name::text ORDER BY one.ordinal)
        FROM galleries g
        JOIN collections c ON c.tenant_id = g.tenant_id AND c.id = g.collection_id
        CROSS JOIN unnest($7) WITH ORDINALITY AS one(id, ordinal)
        JOIN subjects s ON s.tenant_id = $1 AND s.id = one.id
        WHERE g.tenant_id = $1 AND g.id = $2 AND c.name = $3
          AND g.last_seq = $4 AND g.deletions = $5 AND g.epoch = $6
        GROUP BY g.id;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(NAME_SUBJECTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_name_subjects(uuid, uuid, text, bigint, bigint, bigint, uuid[])")
