"""Create albums, their photos, kept pictures of faces, links for guests, and the job queue."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.isolation import APP_ROLE, OPERATOR_ROLE, allow_lookup, isolate
from migrations.job_queue_schema import CREATE_JOB_QUEUE, DROP_JOB_QUEUE, JOB_TABLES

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ISOLATED = ("albums", "photos", "photo_turns", "face_crops", "album_links")

# A finished or erased photo leaves the spool. The object is noted in the same transaction, so that it is deleted even
# if the process ends before it can. Erasing an album or a tenant deletes photos as the tables' owner.
DISCARD_FINISHED = """
CREATE FUNCTION discard_finished_photos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key)
    SELECT n.tenant_id || '/' || n.id FROM new_rows n
    JOIN old_rows o ON o.tenant_id = n.tenant_id AND o.id = n.id
    WHERE o.has_object AND NOT n.has_object
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
DISCARD_ERASED = """
CREATE FUNCTION discard_erased_photos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO discarded_objects (object_key)
    SELECT tenant_id || '/' || id FROM old_rows WHERE has_object
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""

# A face's kept picture goes with the last template of the face.
ERASE_CROPS = """
CREATE FUNCTION erase_face_crops() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM face_crops c USING old_rows o WHERE c.tenant_id = o.tenant_id AND c.face_id = o.id
    AND NOT EXISTS (SELECT 1 FROM templates t WHERE t.tenant_id = o.tenant_id AND t.id = o.id);
    RETURN NULL;
END $$
"""

# Counts before the photo is decoded, so that a photo that kills its worker is known. One round trip a photo.
START_PHOTO = """
CREATE FUNCTION vultus_start_photo(tenant uuid, photo uuid, held_lease uuid, lease_s float8) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM vultus_enter(tenant);
    UPDATE photos SET attempts = attempts + 1, leased_until = now() + make_interval(secs => lease_s)
    WHERE tenant_id = tenant AND id = photo AND lease = held_lease AND state = 'working';
    RETURN FOUND;
END $$
"""

# These run as the owner of the tables and return ids and counts only, like `vultus_tenants_with_expired` (0009).
TENANTS_WITH_LOST_PHOTOS = """
CREATE FUNCTION vultus_tenants_with_lost_photos(grace_s float8) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT tenant_id FROM photos WHERE state = 'working' AND leased_until < now()
    UNION
    SELECT t.tenant_id FROM photo_turns t
    WHERE EXISTS (
        SELECT 1 FROM photos p WHERE p.tenant_id = t.tenant_id AND p.state = 'received'
          AND p.received_at < now() - make_interval(secs => grace_s)
    ) AND NOT EXISTS (
        SELECT 1 FROM pgqueuer j
        WHERE j.dedupe_key = 'turn:' || t.tenant_id || ':' || t.number AND j.status IN ('queued', 'picked')
    )
$$
"""
TENANTS_WITH_EXPIRED_ALBUMS = """
CREATE FUNCTION vultus_tenants_with_expired_albums() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT tenant_id FROM albums WHERE expires_at <= now()
$$
"""
COUNT_WAITING = """
CREATE FUNCTION vultus_count_waiting_photos()
RETURNS TABLE (received bigint, working bigint, oldest_s float8, jobs bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FILTER (WHERE state = 'received'), count(*) FILTER (WHERE state = 'working'),
           coalesce(extract(epoch FROM now() - min(received_at)), 0)::float8,
           (SELECT count(*) FROM pgqueuer WHERE status IN ('queued', 'picked'))
    FROM photos WHERE state IN ('received', 'working')
$$
"""
COUNT_PHOTOS = """
CREATE FUNCTION vultus_count_photos(tenants uuid[], albums uuid[])
RETURNS TABLE (album uuid, received bigint, working bigint, done bigint, failed bigint, faces bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT a.collection_id, count(*) FILTER (WHERE p.state = 'received'), count(*) FILTER (WHERE p.state = 'working'),
           count(*) FILTER (WHERE p.state = 'done'), count(*) FILTER (WHERE p.state = 'failed'),
           coalesce(sum(p.faces), 0)::bigint
    FROM unnest(tenants, albums) AS wanted(tenant_id, collection_id)
    JOIN public.albums a ON a.tenant_id = wanted.tenant_id AND a.collection_id = wanted.collection_id
    LEFT JOIN photos p ON p.tenant_id = a.tenant_id AND p.collection_id = a.collection_id
    GROUP BY a.tenant_id, a.collection_id
$$
"""
# A photo that a retry might have stored is kept for a day.
FORGET_FAILED = """
CREATE FUNCTION vultus_forget_failed_photos() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH forgotten AS (
        UPDATE photos SET has_object = false
        WHERE state = 'failed' AND has_object AND finished_at < now() - interval '1 day' RETURNING id
    ) SELECT count(*) FROM forgotten
$$
"""
FUNCTIONS = (
    ("vultus_forget_failed_photos()", FORGET_FAILED),
    ("vultus_tenants_with_lost_photos(float8)", TENANTS_WITH_LOST_PHOTOS),
    ("vultus_tenants_with_expired_albums()", TENANTS_WITH_EXPIRED_ALBUMS),
    ("vultus_count_waiting_photos()", COUNT_WAITING),
    ("vultus_count_photos(uuid[], uuid[])", COUNT_PHOTOS),
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_albums()
    _create_photos()
    _create_links()
    for table in ISOLATED:
        isolate(table)
    for table in ("albums", "photos", "photo_turns"):
        op.execute(f"CREATE POLICY watching ON {table} FOR SELECT TO CURRENT_USER USING (true)")
    op.execute("CREATE POLICY forgetting ON photos FOR UPDATE TO CURRENT_USER USING (state = 'failed')")
    # Erasing an album erases templates as the tables' owner, and a trigger their pictures.
    op.execute("CREATE POLICY erasing ON face_crops TO CURRENT_USER USING (true)")
    allow_lookup("album_links", "public_id")
    op.create_table(
        "discarded_objects",
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("discarded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("object_key", name=op.f("pk_discarded_objects")),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON discarded_objects TO {APP_ROLE}, {OPERATOR_ROLE}")
    _create_job_queue()
    _create_triggers()
    op.execute(START_PHOTO)
    for signature, function in FUNCTIONS:
        op.execute(function)
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {APP_ROLE}, {OPERATOR_ROLE}")


def _tenant(*columns: sa.Column[Any]) -> tuple[sa.Column[Any], ...]:
    return sa.Column("tenant_id", sa.Uuid(), nullable=False), *columns


def _time(name: str, *, is_nullable: bool = False, is_now: bool = False) -> sa.Column[Any]:
    default = sa.text("now()") if is_now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=is_nullable)


def _create_albums() -> None:
    op.create_table(
        "albums",
        *_tenant(
            sa.Column("collection_id", sa.Uuid(), nullable=False),
            sa.Column("title", sa.Text(), nullable=True),
            sa.Column("keep", sa.Text(), server_default="nothing", nullable=False),
            sa.Column("expected", sa.Integer(), nullable=True),
            _time("created_at", is_now=True),
            _time("expires_at"),
            _time("closed_at", is_nullable=True),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "collection_id"],
            ["collections.tenant_id", "collections.id"],
            name=op.f("fk_albums_collections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "collection_id", name=op.f("pk_albums")),
    )
    op.create_index("ix_albums_tenant_id_expires_at", "albums", ["tenant_id", "expires_at"])
    op.create_table(
        "photo_turns",
        *_tenant(
            sa.Column("number", sa.BigInteger(), server_default="0", nullable=False),
            sa.Column("is_queued", sa.Boolean(), server_default="false", nullable=False),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_photo_turns_tenants"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_photo_turns")),
    )


def _create_photos() -> None:
    op.create_table(
        "photos",
        *_tenant(
            sa.Column("id", sa.Uuid(), nullable=False),
            sa.Column("collection_id", sa.Uuid(), nullable=False),
            sa.Column("external_id", sa.Text(), nullable=False),
            sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
            sa.Column("state", sa.Text(), server_default="received", nullable=False),
            sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
            sa.Column("lease", sa.Uuid(), nullable=True),
            _time("leased_until", is_nullable=True),
            sa.Column("has_object", sa.Boolean(), server_default="true", nullable=False),
            sa.Column("key_id", sa.Text(), nullable=True),
            sa.Column("source", sa.Text(), nullable=True),
            sa.Column("digest", sa.LargeBinary(), nullable=True),
            _time("received_at", is_now=True),
            _time("finished_at", is_nullable=True),
            *(sa.Column(name, sa.Integer(), nullable=True) for name in ("width", "height", "faces", "faces_skipped")),
            sa.Column("code", sa.Text(), nullable=True),
            sa.Column("detail", sa.Text(), nullable=True),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "collection_id"],
            ["albums.tenant_id", "albums.collection_id"],
            name=op.f("fk_photos_albums"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_photos")),
        sa.UniqueConstraint(
            "tenant_id", "collection_id", "external_id", name=op.f("uq_photos_tenant_id_collection_id_external_id")
        ),
    )
    op.create_index("ix_photos_listed", "photos", ["tenant_id", "collection_id", "state", "seq"])
    op.create_index(
        "ix_photos_waiting",
        "photos",
        ["tenant_id", sa.text("(attempts > 0)"), "seq"],
        postgresql_where=sa.text("state = 'received'"),
    )
    op.create_index(
        "ix_photos_leased", "photos", ["tenant_id", "leased_until"], postgresql_where=sa.text("state = 'working'")
    )
    op.create_table(
        "face_crops",
        *_tenant(
            sa.Column("face_id", sa.Uuid(), nullable=False),
            sa.Column("photo_id", sa.Uuid(), nullable=False),
            sa.Column("key_id", sa.Text(), nullable=False),
            sa.Column("picture", sa.LargeBinary(), nullable=False),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "photo_id"],
            ["photos.tenant_id", "photos.id"],
            name=op.f("fk_face_crops_photos"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "face_id", name=op.f("pk_face_crops")),
    )
    op.create_index("ix_face_crops_tenant_id_photo_id", "face_crops", ["tenant_id", "photo_id"])


def _create_links() -> None:
    op.create_table(
        "album_links",
        *_tenant(
            sa.Column("id", sa.Uuid(), nullable=False),
            _time("created_at", is_now=True),
            sa.Column("collection_id", sa.Uuid(), nullable=False),
            sa.Column("public_id", sa.Text(), nullable=False),
            sa.Column("key_id", sa.Text(), nullable=False),
            sa.Column("secret_hmac", sa.LargeBinary(), nullable=False),
            sa.Column("label", sa.Text(), nullable=True),
            sa.Column("consent_text", sa.Text(), nullable=False),
            sa.Column("rate", sa.Text(), nullable=False),
            sa.Column("searches", sa.BigInteger(), server_default="0", nullable=False),
            sa.Column("created_by", sa.Text(), nullable=False),
            _time("expires_at"),
            _time("revoked_at", is_nullable=True),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "collection_id"],
            ["albums.tenant_id", "albums.collection_id"],
            name=op.f("fk_album_links_albums"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_album_links")),
        sa.UniqueConstraint("public_id", name=op.f("uq_album_links_public_id")),
    )
    op.create_index("ix_album_links_tenant_id_collection_id", "album_links", ["tenant_id", "collection_id"])


def _create_job_queue() -> None:
    for statement in CREATE_JOB_QUEUE:
        op.execute(statement)
    for role in (APP_ROLE, OPERATOR_ROLE):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(JOB_TABLES)} TO {role}")
        op.execute(f"GRANT USAGE ON SEQUENCE {', '.join(f'{table}_id_seq' for table in JOB_TABLES)} TO {role}")


def _create_triggers() -> None:
    for function in (DISCARD_FINISHED, DISCARD_ERASED, ERASE_CROPS):
        op.execute(function)
    op.execute(
        "CREATE TRIGGER discard_finished AFTER UPDATE ON photos REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION discard_finished_photos()"
    )
    op.execute(
        "CREATE TRIGGER discard_erased AFTER DELETE ON photos REFERENCING OLD TABLE AS old_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION discard_erased_photos()"
    )
    op.execute(
        "CREATE TRIGGER erase_crops AFTER DELETE ON templates REFERENCING OLD TABLE AS old_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION erase_face_crops()"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_start_photo(uuid, uuid, uuid, float8)")
    for signature, _ in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("DROP TRIGGER erase_crops ON templates")
    for table in ("album_links", "face_crops", "photos", "photo_turns", "albums", "discarded_objects"):
        op.drop_table(table)
    for function in ("discard_finished_photos", "discard_erased_photos", "erase_face_crops"):
        op.execute(f"DROP FUNCTION {function}()")
    for statement in DROP_JOB_QUEUE:
        op.execute(statement)
