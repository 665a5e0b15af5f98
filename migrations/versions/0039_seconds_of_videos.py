"""Meter videos in seconds, by day, operation and caller, and with a monthly quota."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0039"
down_revision: str | None = "0038"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_QUOTA = "video_seconds_a_month"
LIMITS = {"free": 36_000, "pro": 3_600_000}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("videos", sa.Column("sender", sa.Text(), nullable=True))
    op.add_column("videos", sa.Column("metered_s", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("usage_days", sa.Column("video_seconds", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("tenant_usage", sa.Column("video_seconds", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column(
        "tenant_usage",
        sa.Column("video_month", sa.Date(), server_default=sa.text("date_trunc('month', now())::date"), nullable=False),
    )
    for plan, limit in LIMITS.items():
        op.execute(f"UPDATE plans SET quotas = jsonb_build_object('{_QUOTA}', {limit}) || quotas WHERE name = '{plan}'")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"UPDATE plans SET quotas = quotas - '{_QUOTA}'")
    for table, column in (
        ("tenant_usage", "video_month"),
        ("tenant_usage", "video_seconds"),
        ("usage_days", "video_seconds"),
        ("videos", "metered_s"),
        ("videos", "sender"),
    ):
        op.drop_column(table, column)
