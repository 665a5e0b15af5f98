"""Create links by which people set passwords, second factors with recovery codes, and the policy that demands them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.isolation import allow_lookup, isolate

revision: str = "0042"
down_revision: str | None = "0041"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_DROP_FIND = "DROP FUNCTION vultus_find_user(uuid, uuid, uuid)"
_DROP_ADMIT = (
    "DROP FUNCTION vultus_admit_user(uuid, uuid, uuid, text[], text, bigint, text[], integer[], bigint[], bigint, "
    "bigint, text)"
)
# Whether the tenant demands a second factor that the user of the session has not set up. The second table is read only
# where the first says so.
_MUST_ENROLL = """
coalesce((SELECT y.second_factor_required FROM tenant_policies y WHERE y.tenant_id = $1), false)
            AND NOT EXISTS (
                SELECT FROM second_factors f
                WHERE f.tenant_id = $1 AND f.user_id = u.id AND f.confirmed_at IS NOT NULL)"""


def _find_user(column: str, value: str) -> str:
    return f"""
CREATE FUNCTION vultus_find_user(tenant uuid, session_id uuid, user_id uuid)
RETURNS TABLE (email text, role text, plan text, rates jsonb, quotas jsonb{column}) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM vultus_enter(tenant);
    RETURN QUERY
        SELECT u.email::text, u.role::text, p.name::text, p.rates, p.quotas{value}
        FROM sessions s
        JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id
        JOIN tenants t ON t.id = s.tenant_id
        JOIN plans p ON p.name = t.plan
        WHERE s.tenant_id = $1 AND s.id = $2 AND s.user_id = $3
          AND s.revoked_at IS NULL AND s.expires_at > now();
END $$
"""


def _admit_user(column: str, value: str, condition: str, answer: str) -> str:
    return f"""
CREATE FUNCTION vultus_admit_user(
    tenant uuid, session_id uuid, user_id uuid, roles text[], known_plan text, known_version bigint,
    keys text[], windows_s integer[], amounts bigint[], quota bigint, images bigint, wanted text
)
RETURNS TABLE (
    email text, role text, plan text, version bigint, rates jsonb, quotas jsonb, was_counted boolean,
    counts bigint[], remaining_s float8[], is_counted boolean,
    collection_id uuid, recognizer text, secondary text{column}
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    caller record;
    is_known boolean;
BEGIN
    PERFORM vultus_enter(tenant);
    SELECT u.email, u.role, p.name AS plan, p.xmin::text::bigint AS version, p.rates, p.quotas{value} INTO caller
    FROM sessions s
    JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id
    JOIN tenants t ON t.id = s.tenant_id
    JOIN plans p ON p.name = t.plan
    WHERE s.tenant_id = $1 AND s.id = $2 AND s.user_id = $3 AND s.revoked_at IS NULL AND s.expires_at > now();
    IF NOT FOUND THEN
        RETURN;
    END IF;
    is_known := coalesce(caller.plan = $5 AND caller.version = $6, false);
    was_counted := is_known AND caller.role = ANY ($4){condition};
    IF was_counted THEN
        SELECT c.counts, c.remaining_s, c.is_counted INTO counts, remaining_s, is_counted
        FROM vultus_count_request($1, $7, $8, $9, 1, $10, $11) c;
    END IF;
    IF wanted IS NOT NULL THEN
        SELECT c.id, c.recognizer, c.secondary_recognizer INTO collection_id, recognizer, secondary
        FROM collections c WHERE c.tenant_id = $1 AND c.name = wanted;
    END IF;
    email := caller.email;
    role := caller.role;
    plan := caller.plan;
    version := caller.version;{answer}
    IF NOT is_known THEN
        rates := caller.rates;
        quotas := caller.quotas;
    END IF;
    RETURN NEXT;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_account_links()
    _create_second_factors()
    op.add_column(
        "tenant_policies", sa.Column("second_factor_required", sa.Boolean(), nullable=False, server_default="false")
    )
    op.add_column("sessions", sa.Column("is_console", sa.Boolean(), nullable=False, server_default="false"))
    op.add_column("sessions", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(_DROP_FIND)
    op.execute(_find_user(", must_enroll boolean", f", {_MUST_ENROLL}"))
    op.execute(_DROP_ADMIT)
    op.execute(
        _admit_user(
            ", must_enroll boolean",
            f", {_MUST_ENROLL} AS must_enroll",
            " AND NOT caller.must_enroll",
            "\n    must_enroll := caller.must_enroll;",
        )
    )


def _create_account_links() -> None:
    op.create_table(
        "account_links",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("secret_hmac", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_account_links_tenant_id_tenants"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name=op.f("fk_account_links_tenant_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_account_links")),
        sa.UniqueConstraint("public_id", name=op.f("uq_account_links_public_id")),
    )
    op.create_index("ix_account_links_tenant_id_kind_email", "account_links", ["tenant_id", "kind", "email"])
    op.create_index("ix_account_links_tenant_id_user_id", "account_links", ["tenant_id", "user_id"])
    isolate("account_links")
    allow_lookup("account_links", "public_id")


def _create_second_factors() -> None:
    op.create_table(
        "second_factors",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("secret_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name=op.f("fk_second_factors_tenant_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("code_hmac", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["second_factors.tenant_id", "second_factors.user_id"],
            name=op.f("fk_recovery_codes_tenant_id_second_factors"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_recovery_codes")),
    )
    op.create_index("ix_recovery_codes_tenant_id_user_id", "recovery_codes", ["tenant_id", "user_id"])
    for table in ("second_factors", "recovery_codes"):
        isolate(table)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_DROP_ADMIT)
    op.execute(_admit_user("", "", "", ""))
    op.execute(_DROP_FIND)
    op.execute(_find_user("", ""))
    op.drop_column("sessions", "last_used_at")
    op.drop_column("sessions", "is_console")
    op.drop_column("tenant_policies", "second_factor_required")
    for table in ("recovery_codes", "second_factors", "account_links"):
        op.drop_table(table)
