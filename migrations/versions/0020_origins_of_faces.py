"""Find stored faces by their image, and name the matched face of each candidate in the query of cached searches."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

INDEXES = (
    ("ix_templates_tenant_id_gallery_id_external_image_id_seq", "external_image_id"),
    ("ix_templates_tenant_id_gallery_id_image_id_seq", "image_id"),
)

# Like `vultus_name_subjects` (0014), plus the faces of the wanted templates. The old function stays for processes of the
# old version. A box is text, because an array of arrays cannot hold nulls.
NAME_CANDIDATES = """
CREATE FUNCTION vultus_name_candidates(
    tenant uuid, gallery uuid, collection text, seq bigint, deletion bigint, at_epoch bigint, wanted uuid[],
    wanted_seqs bigint[]
)
RETURNS TABLE (
    subjects text[], names text[], max_rate double precision, review_rate double precision, calibration text,
    seqs bigint[], faces uuid[], images uuid[], external_images text[], boxes text[]
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM vultus_enter(tenant);
    RETURN QUERY
        SELECT named.subjects, named.names, c.max_false_match_rate, c.review_false_match_rate, c.calibration::text,
               matched.seqs, matched.faces, matched.images, matched.external_images, matched.boxes
        FROM galleries g
        JOIN collections c ON c.tenant_id = g.tenant_id AND c.id = g.collection_id
        CROSS JOIN LATERAL (
            SELECT array_agg(s.subject::text ORDER BY one.ordinal) AS subjects,
                   array_agg(s.name::text ORDER BY one.ordinal) AS names
            FROM unnest($7) WITH ORDINALITY AS one(id, ordinal)
            JOIN subjects s ON s.tenant_id = $1 AND s.id = one.id
        ) AS named
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(t.seq), '{}') AS seqs, coalesce(array_agg(t.id), '{}') AS faces,
                   coalesce(array_agg(t.image_id), '{}') AS images,
                   coalesce(array_agg(t.external_image_id::text), '{}') AS external_images,
                   coalesce(array_agg(t.box::text), '{}') AS boxes
            FROM unnest($8) AS one(seq)
            JOIN templates t ON t.tenant_id = $1 AND t.gallery_id = $2 AND t.seq = one.seq
        ) AS matched
        WHERE g.tenant_id = $1 AND g.id = $2 AND c.name = $3
          AND g.last_seq = $4 AND g.deletions = $5 AND g.epoch = $6 AND named.subjects IS NOT NULL;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, column in INDEXES:
        op.create_index(
            name,
            "templates",
            ["tenant_id", "gallery_id", column, "seq"],
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.execute(NAME_CANDIDATES)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_name_candidates(uuid, uuid, text, bigint, bigint, bigint, uuid[], bigint[])")
    for name, _ in INDEXES:
        op.drop_index(name, table_name="templates")
