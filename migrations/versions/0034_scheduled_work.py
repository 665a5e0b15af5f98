"""Note when work that one process does for all is due next."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import APP_ROLE, OPERATOR_ROLE

revision: str = "0034"
down_revision: str | None = "0033"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "scheduled_work",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_scheduled_work")),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON scheduled_work TO {APP_ROLE}, {OPERATOR_ROLE}")


def downgrade() -> None:
    op.drop_table("scheduled_work")
