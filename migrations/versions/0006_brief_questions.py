"""Create functions for the queries of every recognition: each sets its tenant and needs one round trip.

They run with the caller's rights, and first switch to the role that is subject to row-level security.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ENTER = """
CREATE FUNCTION vultus_enter(tenant uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('role', 'vultus_app', true), set_config('app.tenant_id', tenant::text, true),
            set_config('app.lookup', '', true);
END $$
"""
FIND_USER = """
CREATE FUNCTION vultus_find_user(tenant uuid, session_id uuid, user_id uuid)
RETURNS TABLE (email text, role text, plan text, rates jsonb, quotas jsonb) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM vultus_enter(tenant);
    RETURN QUERY
        SELECT u.email::text, u.role::text, p.name::text, p.rates, p.quotas
        FROM sessions s
        JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id
        JOIN tenants t ON t.id = s.tenant_id
        JOIN plans p ON p.name = t.plan
        WHERE s.tenant_id = $1 AND s.id = $2 AND s.user_id = $3
          AND s.revoked_at IS NULL AND s.expires_at > now();
END $$
"""
COUNT_RECOGNITIONS = """
CREATE FUNCTION vultus_count_recognitions(tenant uuid, most bigint, images bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    this_month CONSTANT date := date_trunc('month', now())::date;
BEGIN
    PERFORM vultus_enter(tenant);
    -- Not worth a recognition's wait for the disk: a crash of the database may forget the last half second's counts.
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE tenant_usage SET
        month = this_month,
        recognitions = images + CASE WHEN month = this_month THEN recognitions ELSE 0 END
    WHERE tenant_id = tenant
      AND (most IS NULL OR images + CASE WHEN month = this_month THEN recognitions ELSE 0 END <= most);
    RETURN FOUND;
END $$
"""
FIND_COLLECTION = """
CREATE FUNCTION vultus_find_collection(tenant uuid, wanted text) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
    PERFORM vultus_enter(tenant);
    RETURN (SELECT id FROM collections WHERE tenant_id = tenant AND name = wanted);
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in (ENTER, FIND_USER, COUNT_RECOGNITIONS, FIND_COLLECTION):
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_find_collection(uuid, text)")
    op.execute("DROP FUNCTION vultus_count_recognitions(uuid, bigint, bigint)")
    op.execute("DROP FUNCTION vultus_find_user(uuid, uuid, uuid)")
    op.execute("DROP FUNCTION vultus_enter(uuid)")
