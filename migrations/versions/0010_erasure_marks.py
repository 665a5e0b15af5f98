"""Create erasure marks: the position up to which each erasure journal was applied."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import APP_ROLE, OPERATOR_ROLE

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "erasure_marks",
        sa.Column("journal", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal", name=op.f("pk_erasure_marks")),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON erasure_marks TO {APP_ROLE}, {OPERATOR_ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("erasure_marks")
