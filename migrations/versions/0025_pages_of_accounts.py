"""Index users, keys and tenants by time of creation, in which order their lists are read page by page."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ACTIVE = "revoked_at IS NULL"
INDEXES = (
    ("users", ("tenant_id", "created_at", "id"), None),
    ("api_keys", ("tenant_id", "created_at", "id"), ACTIVE),
    ("api_keys", ("tenant_id", "name"), ACTIVE),
    ("access_keys", ("tenant_id", "created_at", "id"), ACTIVE),
    ("tenants", ("created_at", "id"), None),
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, columns, condition in INDEXES:
        where = sa.text(condition) if condition is not None else None
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns), postgresql_where=where)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, columns, _ in INDEXES:
        op.drop_index(f"ix_{table}_{'_'.join(columns)}", table_name=table)
