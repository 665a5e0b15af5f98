"""Add consent and expiry to subjects, and create the tenants' consent and retention policies."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import APP_ROLE, isolate

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Second line of defense below the services: no template is stored without the subject's consent where it is required.
DEMAND_CONSENT = """
CREATE FUNCTION demand_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT tenant_id, subject_id FROM new_rows) n
        JOIN subjects s ON s.tenant_id = n.tenant_id AND s.id = n.subject_id
        LEFT JOIN tenant_policies p ON p.tenant_id = n.tenant_id
        WHERE s.consent_withdrawn_at IS NOT NULL OR (p.consent_required AND s.consented_at IS NULL)
    ) THEN
        RAISE EXCEPTION 'a template without consent' USING ERRCODE = 'VU001';
    END IF;
    RETURN NULL;
END $$
"""

# Finds tenants with expired data: the only query across tenants that the service itself may run. It runs as the owner
# of the tables and returns ids only.
TENANTS_WITH_EXPIRED = """
CREATE FUNCTION vultus_tenants_with_expired(at timestamptz) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT tenant_id FROM subjects WHERE expires_at <= at
    UNION
    SELECT p.tenant_id FROM tenant_policies p
    WHERE p.retention_days IS NOT NULL AND EXISTS (
        SELECT 1 FROM subjects s
        WHERE s.tenant_id = p.tenant_id AND s.updated_at <= at - make_interval(days => p.retention_days)
    )
    UNION
    SELECT tenant_id FROM remembered_answers WHERE created_at <= at - interval '24 hours'
$$
"""
COLUMNS = (
    ("consent", sa.Text()),
    ("consented_at", sa.DateTime(timezone=True)),
    ("consent_recorded_by", sa.Text()),
    ("consent_withdrawn_at", sa.DateTime(timezone=True)),
    ("expires_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, kind in COLUMNS:
        op.add_column("subjects", sa.Column(name, kind, nullable=True))
    op.create_index(  # partial, because each sweep scans it and most subjects never expire
        "ix_subjects_tenant_id_expires_at",
        "subjects",
        ["tenant_id", "expires_at"],
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index("ix_subjects_tenant_id_updated_at", "subjects", ["tenant_id", "updated_at"])
    op.create_table(
        "tenant_policies",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("consent_required", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_tenant_policies_tenants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenant_policies")),
    )
    isolate("tenant_policies")
    op.execute(DEMAND_CONSENT)
    op.execute(
        "CREATE TRIGGER demand_consent AFTER INSERT ON templates REFERENCING NEW TABLE AS new_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION demand_consent()"
    )
    for table in ("subjects", "tenant_policies", "remembered_answers"):
        op.execute(f"CREATE POLICY sweeping ON {table} FOR SELECT TO CURRENT_USER USING (true)")
    op.execute(TENANTS_WITH_EXPIRED)
    op.execute("REVOKE ALL ON FUNCTION vultus_tenants_with_expired(timestamptz) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION vultus_tenants_with_expired(timestamptz) TO {APP_ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_tenants_with_expired(timestamptz)")
    op.execute("DROP POLICY sweeping ON subjects")
    op.execute("DROP POLICY sweeping ON remembered_answers")
    op.execute("DROP TRIGGER demand_consent ON templates")
    op.execute("DROP FUNCTION demand_consent()")
    op.drop_table("tenant_policies")
    op.drop_index("ix_subjects_tenant_id_updated_at", table_name="subjects")
    op.drop_index("ix_subjects_tenant_id_expires_at", table_name="subjects")
    for name, _ in reversed(COLUMNS):
        op.drop_column("subjects", name)
