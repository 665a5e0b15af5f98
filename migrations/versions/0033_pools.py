"""Let collections keep sightings of their own anonymous faces, and open faces again whose rejected subject is gone."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0033"
down_revision: str | None = "0032"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# "Not this person" means nothing once the person is erased. The machine decides the face again.
ERASED_REJECTIONS = """
CREATE FUNCTION reopen_rejected_sightings() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE sightings s SET state = 'pending', decided_by = 'machine', decided_at = now(), is_stale = true
    FROM old_rows o WHERE s.tenant_id = o.tenant_id AND s.face_id = o.face_id AND s.state = 'rejected'
    AND NOT EXISTS (SELECT 1 FROM sighting_rejections r WHERE r.tenant_id = s.tenant_id AND r.face_id = s.face_id);
    RETURN NULL;
END $$
"""
_TENANTS_WITH_EXPIRED = """
CREATE OR REPLACE FUNCTION vultus_tenants_with_expired(at timestamptz) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT tenant_id FROM subjects WHERE expires_at <= at
    UNION
    SELECT p.tenant_id FROM tenant_policies p
    WHERE p.retention_days IS NOT NULL AND EXISTS (
        SELECT 1 FROM subjects s
        WHERE s.tenant_id = p.tenant_id AND s.updated_at <= at - make_interval(days => p.retention_days)
    ){pools}
    UNION
    SELECT tenant_id FROM remembered_answers WHERE created_at <= at - interval '24 hours'
$$
"""
TENANTS_WITH_EXPIRED = _TENANTS_WITH_EXPIRED.format(
    pools="""
    UNION
    SELECT a.tenant_id FROM albums a
    WHERE a.kind = 'pool' AND EXISTS (
        SELECT 1 FROM sightings s
        WHERE s.tenant_id = a.tenant_id AND s.collection_id = a.collection_id
          AND s.seen_at <= at - make_interval(days => a.retain_days)
    )"""
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("albums", sa.Column("kind", sa.Text(), server_default="album", nullable=False))
    op.add_column("albums", sa.Column("retain_days", sa.Integer(), nullable=True))
    op.alter_column("albums", "expires_at", nullable=True)
    # Faces of pools come from no album's photo. An album's photo erases its faces, and so their sightings.
    op.drop_constraint("fk_sightings_photos", "sightings", type_="foreignkey")
    op.create_foreign_key(
        "fk_sightings_albums",
        "sightings",
        "albums",
        ["tenant_id", "collection_id"],
        ["tenant_id", "collection_id"],
        ondelete="CASCADE",
    )
    op.create_index("ix_sightings_seen", "sightings", ["tenant_id", "collection_id", "seen_at"])
    op.execute(TENANTS_WITH_EXPIRED)
    op.execute(ERASED_REJECTIONS)
    op.execute("CREATE POLICY forgetting ON sighting_rejections FOR SELECT TO CURRENT_USER USING (true)")
    op.execute(
        "CREATE TRIGGER reopen_rejected AFTER DELETE ON sighting_rejections REFERENCING OLD TABLE AS old_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION reopen_rejected_sightings()"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER reopen_rejected ON sighting_rejections")
    op.execute("DROP POLICY forgetting ON sighting_rejections")
    op.execute("DROP FUNCTION reopen_rejected_sightings()")
    op.execute(_TENANTS_WITH_EXPIRED.format(pools=""))
    op.drop_index("ix_sightings_seen", "sightings")
    op.drop_constraint("fk_sightings_albums", "sightings", type_="foreignkey")
    op.execute("DELETE FROM albums WHERE kind = 'pool'")
    op.execute("DELETE FROM sightings s WHERE NOT EXISTS (SELECT 1 FROM photos p WHERE p.id = s.photo_id)")
    op.create_foreign_key(
        "fk_sightings_photos", "sightings", "photos", ["tenant_id", "photo_id"], ["tenant_id", "id"], ondelete="CASCADE"
    )
    op.alter_column("albums", "expires_at", nullable=False)
    op.drop_column("albums", "retain_days")
    op.drop_column("albums", "kind")
