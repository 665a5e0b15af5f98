"""Group unknown faces of albums into clusters, with what people said about pairs of faces."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import APP_ROLE, OPERATOR_ROLE, isolate

revision: str = "0032"
down_revision: str | None = "0031"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Runs as the owner of the tables and returns ids only: albums with faces that should join clusters or leave them,
# and those whose clusters come from another recognizer than the one in use.
UNCLUSTERED = """
CREATE FUNCTION vultus_unclustered_albums() RETURNS TABLE (tenant uuid, album uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.tenant_id, s.collection_id FROM sightings s
    WHERE s.cluster_id IS NULL AND s.state IN ('pending', 'review', 'rejected')
    UNION
    SELECT s.tenant_id, s.collection_id FROM sightings s
    WHERE s.cluster_id IS NOT NULL AND s.state IN ('matched', 'ignored')
    UNION
    SELECT a.tenant_id, a.collection_id FROM albums a
    JOIN collections c ON c.tenant_id = a.tenant_id AND c.id = a.collection_id
    WHERE a.cluster_recognizer <> c.recognizer
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("albums", sa.Column("clusters_version", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("albums", sa.Column("cluster_threshold", sa.Float(), nullable=True))
    op.add_column("albums", sa.Column("cluster_recognizer", sa.Text(), nullable=True))
    op.add_column("sightings", sa.Column("cluster_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_sightings_cluster",
        "sightings",
        ["tenant_id", "collection_id", "cluster_id"],
        postgresql_where=sa.text("cluster_id IS NOT NULL"),
    )
    op.create_index(
        "ix_sightings_unclustered",
        "sightings",
        ["tenant_id", "collection_id", "seq"],
        postgresql_where=sa.text("cluster_id IS NULL AND state IN ('pending', 'review', 'rejected')"),
    )
    op.create_index(
        "ix_sightings_known_in_cluster",
        "sightings",
        ["tenant_id", "collection_id"],
        postgresql_where=sa.text("cluster_id IS NOT NULL AND state IN ('matched', 'ignored')"),
    )
    op.create_table(
        "face_constraints",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("face_id", sa.Uuid(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("are_same", sa.Boolean(), nullable=False),
        sa.Column("said_by", sa.Text(), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                ["tenant_id", column],
                ["sightings.tenant_id", "sightings.face_id"],
                name=f"fk_face_constraints_sightings_{column}",
                ondelete="CASCADE",
            )
            for column in ("face_id", "other_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "face_id", "other_id", name=op.f("pk_face_constraints")),
    )
    op.create_index("ix_face_constraints_tenant_id_other_id", "face_constraints", ["tenant_id", "other_id"])
    op.create_index("ix_face_constraints_tenant_id_collection_id", "face_constraints", ["tenant_id", "collection_id"])
    isolate("face_constraints")
    # `pg_dump` reads the sequences of the tables.
    op.execute(f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP_ROLE}, {OPERATOR_ROLE}")
    op.execute(UNCLUSTERED)
    op.execute("REVOKE ALL ON FUNCTION vultus_unclustered_albums() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION vultus_unclustered_albums() TO {APP_ROLE}, {OPERATOR_ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_unclustered_albums()")
    op.drop_table("face_constraints")
    op.drop_column("sightings", "cluster_id")
    op.drop_column("albums", "cluster_recognizer")
    op.drop_column("albums", "cluster_threshold")
    op.drop_column("albums", "clusters_version")
