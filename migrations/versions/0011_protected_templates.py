"""Create the salts of the rotations that protect embeddings; existing templates stay unprotected (generation 0)."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import isolate

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "template_salts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_template_salts_tenants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "generation", name=op.f("pk_template_salts")),
    )
    isolate("template_salts")
    op.add_column("galleries", sa.Column("generation", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    """Drop the salts; fails while there are protected templates, which would become unusable."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE galleries NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT 1 FROM galleries WHERE generation > 0 AND templates > 0) THEN "
        "RAISE EXCEPTION 'there are protected templates, which would be noise without their salts'; END IF; END $$"
    )
    op.execute("ALTER TABLE galleries FORCE ROW LEVEL SECURITY")
    op.drop_column("galleries", "generation")
    op.drop_table("template_salts")
