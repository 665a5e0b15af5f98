"""Create functions that find an API key, and count a request, in one round trip each."""

from collections.abc import Sequence

from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# A key's tenant is unknown before the key is found; the policy `lookup` shows only the key with this public id.
FIND_API_KEY = """
CREATE FUNCTION vultus_find_api_key(wanted text, fresh_s integer)
RETURNS TABLE (
    tenant_id uuid, id uuid, key_id text, secret_hmac bytea, expires_at timestamptz, revoked_at timestamptz,
    scopes text[], collections text[], was_just_used boolean, plan text, rates jsonb, quotas jsonb
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    found_key record;
BEGIN
    PERFORM set_config('role', 'vultus_app', true), set_config('app.tenant_id', '', true),
            set_config('app.lookup', wanted, true);
    SELECT * INTO found_key FROM api_keys k WHERE k.public_id = wanted;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM vultus_enter(found_key.tenant_id);
    RETURN QUERY
        SELECT found_key.tenant_id, found_key.id, found_key.key_id::text, found_key.secret_hmac, found_key.expires_at,
               found_key.revoked_at, found_key.scopes, found_key.collections,
               coalesce(found_key.last_used_at > now() - make_interval(secs => fresh_s), false),
               p.name::text, p.rates, p.quotas
        FROM tenants t JOIN plans p ON p.name = t.plan WHERE t.id = found_key.tenant_id;
END $$
"""
TOUCH_API_KEY = """
CREATE FUNCTION vultus_touch_api_key(tenant uuid, key uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM vultus_enter(tenant);
    UPDATE api_keys SET last_used_at = now() WHERE tenant_id = tenant AND id = key;
END $$
"""
# Counts shorter windows first and stops at a refusal, as the limits library would, one statement a window.
COUNT_REQUEST = """
CREATE FUNCTION vultus_count_request(
    tenant uuid, keys text[], windows_s integer[], amounts bigint[], calls bigint, quota bigint, images bigint
)
RETURNS TABLE (counts bigint[], remaining_s float8[], is_counted boolean) LANGUAGE plpgsql AS $$
DECLARE
    counted bigint;
    remaining float8;
BEGIN
    counts := '{}';
    remaining_s := '{}';
    PERFORM vultus_enter(tenant);
    FOR place IN 1 .. coalesce(array_length(keys, 1), 0) LOOP
        INSERT INTO rate_counters AS c (key, count, expires_at)
        VALUES (keys[place], calls, now() + make_interval(secs => windows_s[place]))
        ON CONFLICT (key) DO UPDATE SET
            count = CASE WHEN c.expires_at <= now() THEN calls ELSE c.count + calls END,
            expires_at = CASE WHEN c.expires_at <= now() THEN excluded.expires_at ELSE c.expires_at END
        RETURNING c.count, extract(epoch FROM c.expires_at - now()) INTO counted, remaining;
        counts := counts || counted;
        remaining_s := remaining_s || remaining;
        IF counted > amounts[place] THEN
            RETURN NEXT;
            RETURN;
        END IF;
    END LOOP;
    IF images > 0 THEN
        is_counted := vultus_count_recognitions(tenant, quota, images);
    END IF;
    RETURN NEXT;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in (FIND_API_KEY, TOUCH_API_KEY, COUNT_REQUEST):
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_count_request(uuid, text[], integer[], bigint[], bigint, bigint, bigint)")
    op.execute("DROP FUNCTION vultus_touch_api_key(uuid, uuid)")
    op.execute("DROP FUNCTION vultus_find_api_key(text, integer)")
