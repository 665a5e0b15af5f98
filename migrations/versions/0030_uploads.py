"""Let photos be announced and uploaded to the bucket, or fetched from the tenant's own object store."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import APP_ROLE, OPERATOR_ROLE

revision: str = "0030"
down_revision: str | None = "0029"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Whoever has a form to upload a photo may use it until it expires, also after the photo is finished or erased. What
# the service did not encrypt itself is therefore deleted once more, when no form is valid anymore.
AGAIN = """CASE WHEN key_id IS NULL AND received_at > now() - interval '20 minutes'
           THEN received_at + interval '20 minutes' END"""
DISCARD_FINISHED = f"""
CREATE OR REPLACE FUNCTION discard_finished_photos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key, again_at)
    SELECT n.tenant_id || '/' || n.id, n.again_at
    FROM (SELECT tenant_id, id, has_object, {AGAIN} AS again_at FROM new_rows) n
    JOIN old_rows o ON o.tenant_id = n.tenant_id AND o.id = n.id
    WHERE o.has_object AND NOT n.has_object
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
DISCARD_ERASED = f"""
CREATE OR REPLACE FUNCTION discard_erased_photos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key, again_at)
    SELECT tenant_id || '/' || id, {AGAIN} FROM old_rows WHERE has_object
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
OLD_DISCARD_FINISHED = """
CREATE OR REPLACE FUNCTION discard_finished_photos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key)
    SELECT n.tenant_id || '/' || n.id FROM new_rows n
    JOIN old_rows o ON o.tenant_id = n.tenant_id AND o.id = n.id
    WHERE o.has_object AND NOT n.has_object
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
OLD_DISCARD_ERASED = """
CREATE OR REPLACE FUNCTION discard_erased_photos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key)
    SELECT tenant_id || '/' || id FROM old_rows WHERE has_object
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""

_LOST_PHOTOS = """
CREATE OR REPLACE FUNCTION vultus_tenants_with_lost_photos(grace_s float8) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT tenant_id FROM photos WHERE state = 'working' AND leased_until < now()
    UNION
    SELECT t.tenant_id FROM photo_turns t
    WHERE EXISTS (
        SELECT 1 FROM photos p WHERE p.tenant_id = t.tenant_id AND p.state = 'received'
          AND p.received_at < now() - make_interval(secs => grace_s){condition}
    ) AND NOT EXISTS (
        SELECT 1 FROM pgqueuer j
        WHERE j.dedupe_key = 'turn:' || t.tenant_id || ':' || t.number AND j.status IN ('queued', 'picked')
    )
$$
"""
LOST_PHOTOS = _LOST_PHOTOS.format(condition=" AND p.not_before <= now()")
OLD_LOST_PHOTOS = _LOST_PHOTOS.format(condition="")

# Runs as the owner of the tables and returns ids only, like those of 0024.
ANNOUNCED_PHOTOS = """
CREATE FUNCTION vultus_announced_photos(photos_a_round integer) RETURNS TABLE (tenant uuid, photo uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT tenant_id, id FROM photos WHERE state = 'announced' AND not_before <= now()
    ORDER BY not_before, received_at LIMIT photos_a_round
$$
"""
_COUNT_PHOTOS = """
CREATE FUNCTION vultus_count_photos(tenants uuid[], albums uuid[])
RETURNS TABLE (album uuid, {column}received bigint, working bigint, done bigint, failed bigint, faces bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT a.collection_id,{count}
           count(*) FILTER (WHERE p.state = 'received'), count(*) FILTER (WHERE p.state = 'working'),
           count(*) FILTER (WHERE p.state = 'done'), count(*) FILTER (WHERE p.state = 'failed'),
           coalesce(sum(p.faces), 0)::bigint
    FROM unnest(tenants, albums) AS wanted(tenant_id, collection_id)
    JOIN public.albums a ON a.tenant_id = wanted.tenant_id AND a.collection_id = wanted.collection_id
    LEFT JOIN photos p ON p.tenant_id = a.tenant_id AND p.collection_id = a.collection_id
    GROUP BY a.tenant_id, a.collection_id
$$
"""
COUNT_PHOTOS = _COUNT_PHOTOS.format(
    column="announced bigint, ", count=" count(*) FILTER (WHERE p.state = 'announced'),"
)
OLD_COUNT_PHOTOS = _COUNT_PHOTOS.format(column="", count="")

FORGET_FAILED = """
CREATE OR REPLACE FUNCTION vultus_forget_failed_photos() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH forgotten AS (
        UPDATE photos SET has_object = false, may_retry = false
        WHERE state = 'failed' AND has_object AND finished_at < now() - interval '1 day' RETURNING id
    ) SELECT count(*) FROM forgotten
$$
"""
OLD_FORGET_FAILED = """
CREATE OR REPLACE FUNCTION vultus_forget_failed_photos() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH forgotten AS (
        UPDATE photos SET has_object = false
        WHERE state = 'failed' AND has_object AND finished_at < now() - interval '1 day' RETURNING id
    ) SELECT count(*) FROM forgotten
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("photos", sa.Column("fetches", sa.Integer(), server_default="0", nullable=False))
    op.add_column(
        "photos",
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.add_column("photos", sa.Column("may_retry", sa.Boolean(), server_default="false", nullable=False))
    op.create_index(
        "ix_photos_announced", "photos", ["tenant_id", "not_before"], postgresql_where=sa.text("state = 'announced'")
    )
    op.add_column("discarded_objects", sa.Column("again_at", sa.DateTime(timezone=True), nullable=True))
    for function in (DISCARD_FINISHED, DISCARD_ERASED, LOST_PHOTOS, ANNOUNCED_PHOTOS, FORGET_FAILED):
        op.execute(function)
    _grant("vultus_announced_photos(integer)")
    op.execute("DROP FUNCTION vultus_count_photos(uuid[], uuid[])")
    op.execute(COUNT_PHOTOS)
    _grant("vultus_count_photos(uuid[], uuid[])")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for function in (OLD_DISCARD_FINISHED, OLD_DISCARD_ERASED, OLD_LOST_PHOTOS, OLD_FORGET_FAILED):
        op.execute(function)
    op.execute("DROP FUNCTION vultus_announced_photos(integer)")
    op.execute("DROP FUNCTION vultus_count_photos(uuid[], uuid[])")
    op.execute(OLD_COUNT_PHOTOS)
    _grant("vultus_count_photos(uuid[], uuid[])")
    op.drop_column("discarded_objects", "again_at")
    op.drop_index("ix_photos_announced", "photos")
    for column in ("may_retry", "not_before", "fetches"):
        op.drop_column("photos", column)


def _grant(signature: str) -> None:
    op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {APP_ROLE}, {OPERATOR_ROLE}")
