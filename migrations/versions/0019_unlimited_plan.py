"""Add the plan `unlimited`, for an operator's own tenants."""

import json
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import OPERATOR_ROLE

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

RATES = dict.fromkeys(("read", "recognize", "embeddings", "register", "delete", "admin"), "unlimited")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # An operator may have made a plan of this name already; it stays.
    insert = sa.text(
        "INSERT INTO plans (name, rates, quotas) VALUES ('unlimited', CAST(:rates AS jsonb), '{}') "
        "ON CONFLICT (name) DO NOTHING"
    )
    op.get_bind().execute(insert, {"rates": json.dumps(RATES)})


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"SET LOCAL ROLE {OPERATOR_ROLE}")  # row-level security hides tenants from the tables' owner
    op.execute("UPDATE tenants SET plan = 'pro' WHERE plan = 'unlimited'")
    op.execute("DELETE FROM plans WHERE name = 'unlimited'")
    op.execute("RESET ROLE")
