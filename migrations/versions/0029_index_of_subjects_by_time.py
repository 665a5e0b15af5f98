"""Keep foreign keys from reading the index of subjects by time of creation.

Before the first ANALYZE of a new database, the planner values it like the unique index on collection and subject. Each
new subject's terms then read all subjects of the collection. A condition that only searches by time imply prevents it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0029"
down_revision: str | None = "0028"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _replace("created_at IS NOT NULL")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _replace(None)


def _replace(condition: str | None) -> None:
    op.drop_index("ix_subjects_created_at", table_name="subjects")
    op.create_index(
        "ix_subjects_created_at",
        "subjects",
        ["tenant_id", "collection_id", "created_at"],
        postgresql_include=["subject"],
        postgresql_where=sa.text(condition) if condition is not None else None,
    )
