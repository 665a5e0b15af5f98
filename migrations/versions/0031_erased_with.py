"""Add the row ids under which older backups hold a subject, so that erasing it also erases them after a restore."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0031"
down_revision: str | None = "0030"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "subjects", sa.Column("erased_with", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False)
    )
    op.create_index(  # partial, because erasing a collection reads these and most subjects have none
        "ix_subjects_erased_with",
        "subjects",
        ["tenant_id", "collection_id"],
        postgresql_where=sa.text("erased_with <> '{}'"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_subjects_erased_with", table_name="subjects")
    op.drop_column("subjects", "erased_with")
