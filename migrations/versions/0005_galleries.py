"""Create galleries, which number templates in storage order, and the indexes that searches read.

Rewrites every stored template, which takes some minutes per million: stop the service first.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import BIT

from migrations.isolation import count_as_owner, isolate

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Searches are index-only scans, which are fast only on pages that VACUUM has visited, so let autovacuum run early.
STORAGE = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "galleries",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("recognizer", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
            for name in ("templates", "last_seq", "deletions", "epoch")
        ),
        sa.Column("graph", sa.Text(), nullable=True),
        sa.Column("graph_upto", sa.BigInteger(), nullable=True),
        sa.Column("graph_recall", sa.Double(), nullable=True),
        sa.Column("graph_checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("graph_trusted", sa.Boolean(), server_default="false", nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "collection_id"],
            ["collections.tenant_id", "collections.id"],
            name=op.f("fk_galleries_collections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_galleries")),
        sa.UniqueConstraint(
            "tenant_id", "collection_id", "recognizer", name=op.f("uq_galleries_tenant_id_collection_id_recognizer")
        ),
    )
    isolate("galleries")
    count_as_owner("galleries")
    op.add_column("templates", sa.Column("gallery_id", sa.Uuid(), nullable=True))
    op.add_column("templates", sa.Column("seq", sa.BigInteger(), nullable=True))
    op.drop_index("ix_templates_search", table_name="templates")
    op.drop_index("ix_templates_tenant_id_subject_id", table_name="templates")
    _number_stored_templates()
    op.alter_column("templates", "gallery_id", nullable=False)
    op.alter_column("templates", "seq", nullable=False)
    op.add_column(
        "templates",
        sa.Column("code", BIT(512), sa.Computed("binary_quantize(embedding)::bit(512)", persisted=True), nullable=True),
    )
    op.create_foreign_key(
        op.f("fk_templates_galleries"),
        "templates",
        "galleries",
        ["tenant_id", "gallery_id"],
        ["tenant_id", "id"],
        ondelete="CASCADE",
    )
    op.execute(f"ALTER TABLE templates SET ({STORAGE})")
    # A second copy of the embeddings, only for small galleries; large ones are searched by their binary codes.
    op.create_index(
        "ix_templates_search",
        "templates",
        ["tenant_id", "gallery_id", "seq"],
        unique=False,
        postgresql_include=["subject_id", "embedding"],
        postgresql_where=sa.text("seq <= 10000"),
    )
    op.create_index(
        "ix_templates_codes", "templates", ["tenant_id", "gallery_id", "seq"], unique=True, postgresql_include=["code"]
    )
    op.create_index(
        "ix_templates_tenant_id_subject_id_gallery_id_seq",
        "templates",
        ["tenant_id", "subject_id", "gallery_id", "seq"],
        unique=False,
    )
    _create_change_triggers()


def _number_stored_templates() -> None:
    # Forced row-level security applies to the owner, which has no policy of its own.
    tables = ("templates", "galleries")
    for table in tables:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "INSERT INTO galleries (tenant_id, id, collection_id, recognizer, templates, last_seq) "
        "SELECT tenant_id, gen_random_uuid(), collection_id, recognizer, count(*), count(*) "
        "FROM templates GROUP BY tenant_id, collection_id, recognizer"
    )
    op.execute(
        "UPDATE templates SET gallery_id = placed.gallery_id, seq = placed.seq FROM ("
        "SELECT t.tenant_id, t.id, g.id AS gallery_id, "
        "row_number() OVER (PARTITION BY g.tenant_id, g.id ORDER BY t.created_at, t.id) AS seq "
        "FROM templates t JOIN galleries g USING (tenant_id, collection_id, recognizer)"
        ") AS placed WHERE templates.tenant_id = placed.tenant_id AND templates.id = placed.id"
    )
    for table in tables:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def _create_change_triggers() -> None:
    """Create triggers that count deleted templates (cascades included) and changed embeddings in the gallery.

    Inserts need no trigger, since they update the gallery themselves. Triggers fire in the order of their names, so
    that galleries are locked before `count_out` locks the tenant's usage: the same lock order as in registration.
    """
    op.execute(
        "CREATE FUNCTION note_deleted_templates() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "UPDATE galleries g SET templates = g.templates - c.n, deletions = g.deletions + c.n FROM "
        "(SELECT tenant_id, gallery_id, count(*) AS n FROM old_rows GROUP BY tenant_id, gallery_id) c "
        "WHERE g.tenant_id = c.tenant_id AND g.id = c.gallery_id; RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER before_count_note_deleted AFTER DELETE ON templates REFERENCING OLD TABLE AS old_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION note_deleted_templates()"
    )
    op.execute(
        "CREATE FUNCTION note_changed_templates() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "UPDATE galleries g SET epoch = g.epoch + 1 FROM "
        "(SELECT DISTINCT tenant_id, gallery_id FROM new_rows) c "
        "WHERE g.tenant_id = c.tenant_id AND g.id = c.gallery_id; RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER note_changed AFTER UPDATE ON templates REFERENCING NEW TABLE AS new_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION note_changed_templates()"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for trigger, function in (
        ("note_changed", "note_changed_templates"),
        ("before_count_note_deleted", "note_deleted_templates"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON templates")
        op.execute(f"DROP FUNCTION {function}()")
    op.execute(  # the HNSW graphs depend on columns dropped below
        "DO $$ DECLARE name text; BEGIN FOR name IN SELECT indexname FROM pg_indexes "
        "WHERE schemaname = 'public' AND tablename = 'templates' AND indexname LIKE 'graph\\_%' "
        "LOOP EXECUTE format('DROP INDEX %I', name); END LOOP; END $$"
    )
    for index in ("ix_templates_tenant_id_subject_id_gallery_id_seq", "ix_templates_codes", "ix_templates_search"):
        op.drop_index(index, table_name="templates")
    op.create_index("ix_templates_tenant_id_subject_id", "templates", ["tenant_id", "subject_id"], unique=False)
    op.create_index(
        "ix_templates_search",
        "templates",
        ["tenant_id", "collection_id", "recognizer", "subject_id"],
        unique=False,
        postgresql_include=["embedding"],
    )
    op.execute("ALTER TABLE templates RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor)")
    op.drop_constraint(op.f("fk_templates_galleries"), "templates")
    for column in ("code", "seq", "gallery_id"):
        op.drop_column("templates", column)
    op.drop_table("galleries")
