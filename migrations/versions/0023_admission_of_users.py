"""Create a function that finds the user of a session, counts the request and finds the collection, in one round trip."""

from collections.abc import Sequence

from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# The caller states what it knows of the user: plan, version of the plan's row, roles with the permission. Only if all
# of it still holds, the request is counted; otherwise the answer has the plan, and the caller counts in a second step.
ADMIT_USER = """
CREATE FUNCTION vultus_admit_user(
    tenant uuid, session_id uuid, user_id uuid, roles text[], known_plan text, known_version bigint,
    keys text[], windows_s integer[], amounts bigint[], quota bigint, images bigint, wanted text
)
RETURNS TABLE (
    email text, role text, plan text, version bigint, rates jsonb, quotas jsonb, was_counted boolean,
    counts bigint[], remaining_s float8[], is_counted boolean,
    collection_id uuid, recognizer text, secondary text
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    caller record;
    is_known boolean;
BEGIN
    PERFORM vultus_enter(tenant);
    SELECT u.email, u.role, p.name AS plan, p.xmin::text::bigint AS version, p.rates, p.quotas INTO caller
    FROM sessions s
    JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id
    JOIN tenants t ON t.id = s.tenant_id
    JOIN plans p ON p.name = t.plan
    WHERE s.tenant_id = $1 AND s.id = $2 AND s.user_id = $3 AND s.revoked_at IS NULL AND s.expires_at > now();
    IF NOT FOUND THEN
        RETURN;
    END IF;
    is_known := coalesce(caller.plan = $5 AND caller.version = $6, false);
    was_counted := is_known AND caller.role = ANY ($4);
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
    version := caller.version;
    IF NOT is_known THEN
        rates := caller.rates;
        quotas := caller.quotas;
    END IF;
    RETURN NEXT;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(ADMIT_USER)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        "DROP FUNCTION vultus_admit_user(uuid, uuid, uuid, text[], text, bigint, text[], integer[], bigint[], bigint, "
        "bigint, text)"
    )
