"""Create daily usage counts by operation and caller, the basis of billing."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import isolate

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# As in 0006. Does nothing if the tenant was deleted.
ADD_USAGE = """
CREATE FUNCTION vultus_add_usage(
    tenant uuid, days date[], operations text[], callers text[], more_calls bigint[], more_images bigint[]
)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM vultus_enter(tenant);
    INSERT INTO usage_days AS u (tenant_id, day, operation, caller, calls, images)
    SELECT tenant, given.* FROM unnest(days, operations, callers, more_calls, more_images) AS given
    WHERE EXISTS (SELECT 1 FROM tenants WHERE id = tenant)
    ORDER BY 2, 3, 4
    ON CONFLICT (tenant_id, day, operation, caller)
    DO UPDATE SET calls = u.calls + excluded.calls, images = u.images + excluded.images;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "usage_days",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_usage_days_tenants"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "day", "operation", "caller", name=op.f("pk_usage_days")),
    )
    isolate("usage_days", privileges="SELECT, INSERT, UPDATE")
    op.execute(ADD_USAGE)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_add_usage(uuid, date[], text[], text[], bigint[], bigint[])")
    op.drop_table("usage_days")
