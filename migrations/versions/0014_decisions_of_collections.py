"""Add decision settings to collections: false-match rates and the collection's own calibration."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# As in 0007, plus the collection's decision settings.
NAME_SUBJECTS = """
CREATE FUNCTION vultus_name_subjects(
    tenant uuid, gallery uuid, collection text, seq bigint, deletion bigint, at_epoch bigint, wanted uuid[]
)
RETURNS TABLE (subjects text[], names text[], max_rate double precision, review_rate double precision, calibration text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM vultus_enter(tenant);
    RETURN QUERY
        SELECT array_agg(s.subject::text ORDER BY one.ordinal), array_agg(s.name::text ORDER BY one.ordinal),
               c.max_false_match_rate, c.review_false_match_rate, c.calibration::text
        FROM galleries g
        JOIN collections c ON c.tenant_id = g.tenant_id AND c.id = g.collection_id
        CROSS JOIN unnest($7) WITH ORDINALITY AS one(id, ordinal)
        JOIN subjects s ON s.tenant_id = $1 AND s.id = one.id
        WHERE g.tenant_id = $1 AND g.id = $2 AND c.name = $3
          AND g.last_seq = $4 AND g.deletions = $5 AND g.epoch = $6
        GROUP BY g.id, c.tenant_id, c.id;
END $$
"""
NAME_SUBJECTS_BEFORE = """
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
DROP = "DROP FUNCTION vultus_name_subjects(uuid, uuid, text, bigint, bigint, bigint, uuid[])"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in ("max_false_match_rate", "review_false_match_rate"):
        op.add_column("collections", sa.Column(name, sa.Double(), nullable=True))
    op.add_column("collections", sa.Column("calibration", postgresql.JSONB(), nullable=True))
    op.execute(DROP)
    op.execute(NAME_SUBJECTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(DROP)
    op.execute(NAME_SUBJECTS_BEFORE)
    for name in ("calibration", "review_false_match_rate", "max_false_match_rate"):
        op.drop_column("collections", name)
