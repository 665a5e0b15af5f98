"""Keep the trace of the change that added a photo, a video or an event, if it is exported."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0044"
down_revision: str | None = "0043"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TABLES = ("photos", "videos", "events")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        op.add_column(table, sa.Column("traceparent", sa.Text(), nullable=True))
        # Transactions that are traced set it; statements need not name the column.
        op.alter_column(
            table, "traceparent", server_default=sa.text("nullif(current_setting('app.traceparent', true), '')")
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        op.drop_column(table, "traceparent")
