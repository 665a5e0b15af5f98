"""Create plans with rates and quotas, usage counts, shared rate counters, and stored idempotent responses."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.isolation import APP_ROLE, OPERATOR_ROLE, count_as_owner, isolate

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

PLANS = {
    "free": (
        {
            "recognize": "60/minute",
            "register": "60/minute",
            "read": "300/minute",
            "delete": "60/minute",
            "embeddings": "30/minute",
            "admin": "60/minute",
        },
        {"templates": 1000, "collections": 10, "users": 5, "recognitions_a_month": 10_000},
    ),
    "pro": (
        {
            "recognize": "3000/minute",
            "register": "1200/minute",
            "read": "6000/minute",
            "delete": "1200/minute",
            "embeddings": "1200/minute",
            "admin": "300/minute",
        },
        {"templates": 1_000_000, "collections": 10_000, "users": 200, "recognitions_a_month": 5_000_000},
    ),
}

COUNTED = ("templates", "collections", "users")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    plans = op.create_table(
        "plans",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rates", postgresql.JSONB(), nullable=False),
        sa.Column("quotas", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_plans")),
    )
    op.bulk_insert(plans, [{"name": n, "rates": rates, "quotas": quotas} for n, (rates, quotas) in PLANS.items()])
    op.execute(f"GRANT SELECT ON plans TO {APP_ROLE}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON plans TO {OPERATOR_ROLE}")
    op.add_column("tenants", sa.Column("plan", sa.Text(), server_default="free", nullable=False))
    op.create_foreign_key(op.f("fk_tenants_plans"), "tenants", "plans", ["plan"], ["name"])
    # A tenant must not change its own plan, so the app may create tenants but not update them.
    op.execute(f"REVOKE UPDATE ON tenants FROM {APP_ROLE}")
    _usage()
    _counters()
    _remembered_answers()


def _usage() -> None:
    op.create_table(
        "tenant_usage",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in COUNTED),
        sa.Column("month", sa.Date(), server_default=sa.text("date_trunc('month', now())::date"), nullable=False),
        sa.Column("recognitions", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_tenant_usage_tenants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenant_usage")),
    )
    counts = ", ".join(f"(SELECT count(*) FROM {name} WHERE tenant_id = tenants.id)" for name in COUNTED)
    op.execute(f"INSERT INTO tenant_usage (tenant_id, {', '.join(COUNTED)}) SELECT id, {counts} FROM tenants")
    isolate("tenant_usage")
    count_as_owner("tenant_usage")
    for name in COUNTED:
        op.execute(
            f"CREATE FUNCTION count_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF TG_OP = 'INSERT' THEN UPDATE tenant_usage u SET {name} = {name} + c.n FROM "
            f"(SELECT tenant_id, count(*) AS n FROM new_rows GROUP BY tenant_id) c WHERE u.tenant_id = c.tenant_id; "
            f"ELSE UPDATE tenant_usage u SET {name} = {name} - c.n FROM "
            f"(SELECT tenant_id, count(*) AS n FROM old_rows GROUP BY tenant_id) c WHERE u.tenant_id = c.tenant_id; "
            f"END IF; RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER count_in AFTER INSERT ON {name} REFERENCING NEW TABLE AS new_rows "
            f"FOR EACH STATEMENT EXECUTE FUNCTION count_{name}()"
        )
        op.execute(
            f"CREATE TRIGGER count_out AFTER DELETE ON {name} REFERENCING OLD TABLE AS old_rows "
            f"FOR EACH STATEMENT EXECUTE FUNCTION count_{name}()"
        )


def _counters() -> None:
    """Create unlogged tables: every request writes a counter, and losing them in a crash admits only a few more."""
    op.execute(
        "CREATE UNLOGGED TABLE rate_counters (key text CONSTRAINT pk_rate_counters PRIMARY KEY, count bigint NOT NULL, "
        "expires_at timestamptz NOT NULL) WITH (fillfactor = 50)"
    )
    op.execute(
        "CREATE UNLOGGED TABLE login_tries (key text CONSTRAINT pk_login_tries PRIMARY KEY, "
        "tries integer NOT NULL, since timestamptz NOT NULL, blocked_until timestamptz)"
    )
    for table in ("rate_counters", "login_tries"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APP_ROLE}, {OPERATOR_ROLE}")


def _remembered_answers() -> None:
    op.create_table(
        "remembered_answers",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("about", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_remembered_answers_tenants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_remembered_answers")),
        sa.UniqueConstraint(
            "tenant_id", "principal", "key", name=op.f("uq_remembered_answers_tenant_id_principal_key")
        ),
    )
    isolate("remembered_answers")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("remembered_answers", "login_tries", "rate_counters"):
        op.drop_table(table)
    for name in COUNTED:
        for trigger in ("count_in", "count_out"):
            op.execute(f"DROP TRIGGER {trigger} ON {name}")
        op.execute(f"DROP FUNCTION count_{name}()")
    op.drop_table("tenant_usage")
    op.execute(f"GRANT UPDATE ON tenants TO {APP_ROLE}")
    op.drop_constraint(op.f("fk_tenants_plans"), "tenants")
    op.drop_column("tenants", "plan")
    op.drop_table("plans")
