"""Create events, webhooks and deliveries; an event and its deliveries are written in the transaction of the change."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.isolation import APP_ROLE, OPERATOR_ROLE, isolate

revision: str = "0036"
down_revision: str | None = "0035"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Takes out of earlier events what is erased: subjects, collections and faces. Conditions that an index is to serve use
# columns: row-level security keeps operators of JSON away from indexes.
FORGET_EVENTS = """
CREATE FUNCTION vultus_forget_events(tenant uuid, added jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    links CONSTANT text[] := '{became_collection,became_subject,merged_into}';
BEGIN
    IF added @> '[{"type": "subject.deleted"}]' THEN
        DELETE FROM events e USING jsonb_array_elements(added) AS one
        WHERE one->>'type' = 'subject.deleted' AND e.tenant_id = tenant
          AND e.collection = one->>'collection' AND e.subject = one->>'subject';
        UPDATE events e SET data = e.data - links, successor = NULL FROM jsonb_array_elements(added) AS one
        WHERE one->>'type' = 'subject.deleted' AND e.tenant_id = tenant
          AND e.successor = (one->>'collection') || '/' || (one->>'subject');
    END IF;
    IF added @> '[{"type": "collection.deleted"}]' THEN
        DELETE FROM events e USING jsonb_array_elements(added) AS one
        WHERE one->>'type' = 'collection.deleted' AND e.tenant_id = tenant
          AND one->>'collection' IN (e.collection, e.data->>'album');
        UPDATE events e SET data = e.data - links, successor = NULL FROM jsonb_array_elements(added) AS one
        WHERE one->>'type' = 'collection.deleted' AND e.tenant_id = tenant
          AND e.data->>'became_collection' = one->>'collection';
    END IF;
    IF added @> '[{"type": "consent.withdrawn"}]' THEN
        DELETE FROM events e USING jsonb_array_elements(added) AS one
        WHERE one->>'type' = 'consent.withdrawn' AND e.tenant_id = tenant AND e.type = 'face.registered'
          AND e.collection = one->>'collection' AND e.subject = one->>'subject';
    END IF;
    IF added @> '[{"type": "face.deleted"}]' THEN
        UPDATE events e SET data = jsonb_set(e.data, '{face_ids}', (e.data->'face_ids') - gone.ids)
        FROM (
            SELECT one->>'collection' AS collection, one->>'subject' AS subject,
                   ARRAY(SELECT jsonb_array_elements_text(one->'data'->'face_ids')) AS ids
            FROM jsonb_array_elements(added) AS one WHERE one->>'type' = 'face.deleted'
        ) AS gone
        WHERE e.tenant_id = tenant AND e.collection = gone.collection AND e.type = 'face.registered'
          AND (e.subject = gone.subject OR e.subject IS NULL) AND e.data->'face_ids' ?| gone.ids;
    END IF;
END $$
"""
# Adds events at the end of the tenant's list, and a delivery for each webhook that wants them. The head of the audit
# trail is locked until the transaction ends, so events become visible in order. Webhooks whose turn is not queued yet
# are returned: the caller adds their turns to the job queue.
#
# Earlier events forget what is erased, and those of an erased subject or collection are deleted. One of them may be on
# its way to a receiver: the event of the erasure then waits until that attempt must have ended, so that it arrives last.
ADD_EVENTS = """
CREATE FUNCTION vultus_add_events(tenant uuid, added jsonb, first_seal bytea)
RETURNS TABLE (webhook_id uuid, turn bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    number CONSTANT bigint := jsonb_array_length(added);
    last bigint;
    erased bigint[];
    sending jsonb := '[]';
BEGIN
    INSERT INTO audit_heads AS head (tenant_id, seq, seal, event_seq) VALUES (tenant, 0, first_seal, number)
    ON CONFLICT (tenant_id) DO UPDATE SET event_seq = head.event_seq + number
    RETURNING head.event_seq INTO last;
    erased := ARRAY(
        SELECT e.seq FROM jsonb_array_elements(added) AS one
        JOIN events e ON e.tenant_id = tenant AND e.collection = one->>'collection' AND e.subject = one->>'subject'
        WHERE one->>'type' = 'subject.deleted'
        UNION
        SELECT e.seq FROM jsonb_array_elements(added) AS one
        JOIN events e ON e.tenant_id = tenant AND e.collection = one->>'collection'
        WHERE one->>'type' = 'collection.deleted');
    IF erased <> '{}' THEN
        WITH locked AS (
            SELECT d.webhook_id, d.taken_until, e.collection, e.subject FROM webhook_deliveries d
            JOIN events e ON e.tenant_id = tenant AND e.seq = d.seq
            WHERE d.tenant_id = tenant AND d.seq = ANY (erased) ORDER BY d.seq FOR UPDATE OF d
        )
        SELECT jsonb_agg(DISTINCT jsonb_build_array(l.webhook_id, l.collection, l.subject)) INTO sending FROM locked l
        WHERE l.taken_until > clock_timestamp();
        DELETE FROM events e WHERE e.tenant_id = tenant AND e.seq = ANY (erased);
    END IF;
    PERFORM vultus_forget_events(tenant, added);
    INSERT INTO events (tenant_id, seq, id, at, type, collection, subject, successor, data)
    SELECT tenant, last - number + ordinal, gen_random_uuid(), clock_timestamp(), one->>'type', one->>'collection',
           one->>'subject',
           coalesce(one->'data'->>'became_collection', one->>'collection') || '/'
               || coalesce(one->'data'->>'became_subject', one->'data'->>'merged_into'),
           one->'data'
    FROM jsonb_array_elements(added) WITH ORDINALITY AS elements(one, ordinal);
    RETURN QUERY
    WITH wanted AS (
        INSERT INTO webhook_deliveries (tenant_id, webhook_id, seq, order_key, due_at)
        SELECT tenant, w.id, e.seq, coalesce(e.collection || '/' || e.subject, e.collection, e.type),
               CASE WHEN EXISTS (
                   SELECT FROM jsonb_array_elements(sending) s
                   WHERE s->>0 = w.id::text AND s->>1 = e.collection
                     AND (e.type = 'collection.deleted' OR (e.type = 'subject.deleted' AND s->>2 = e.subject))
               ) THEN clock_timestamp() + interval '20 seconds' ELSE now() END
        FROM webhooks w JOIN events e ON e.tenant_id = tenant AND e.seq > last - number AND e.seq <= last
        WHERE w.tenant_id = tenant AND w.is_enabled
          AND (w.types = '{}' OR e.type = ANY (w.types))
          AND (w.collections = '{}' OR e.collection = ANY (w.collections))
        RETURNING webhook_deliveries.webhook_id AS id
    )
    UPDATE webhooks w SET is_queued = true, turn = w.turn + 1
    WHERE w.tenant_id = tenant AND NOT w.is_queued AND w.id IN (SELECT id FROM wanted)
    RETURNING w.id, w.turn;
END $$
"""
# An audit entry and the events of the same change, in one round trip.
APPEND_WITH_EVENTS = """
CREATE FUNCTION vultus_append_with_events(
    tenant uuid, new_seq bigint, new_at timestamptz, new_actor text, new_action text, new_target text,
    new_details jsonb, new_request text, new_key text, previous_seal bytea, new_seal bytea,
    added jsonb, first_seal bytea
) RETURNS TABLE (webhook_id uuid, turn bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM vultus_append_audit_entry(
        tenant, new_seq, new_at, new_actor, new_action, new_target, new_details, new_request, new_key, previous_seal,
        new_seal);
    RETURN QUERY SELECT e.webhook_id, e.turn FROM vultus_add_events(tenant, added, first_seal) e;
END $$
"""
# These two run as the owner of the tables and return ids and counts only, like those of 0024.
DUE_WEBHOOKS = """
CREATE FUNCTION vultus_due_webhooks() RETURNS TABLE (tenant_id uuid, webhook_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.tenant_id, w.id FROM webhooks w
    WHERE w.is_enabled AND w.resume_at <= now() AND EXISTS (
        SELECT FROM webhook_deliveries d
        WHERE d.tenant_id = w.tenant_id AND d.webhook_id = w.id AND d.state = 'waiting' AND d.due_at <= now())
      AND (NOT w.is_queued OR NOT EXISTS (
        SELECT FROM pgqueuer j
        WHERE j.dedupe_key = 'webhook:' || w.id || ':' || w.turn AND j.status IN ('queued', 'picked')))
    LIMIT 500
$$
"""
# Deletes a part of one tenant's old events. The head of the audit trail is locked first, as by those who add events.
PRUNE_EVENTS = """
CREATE FUNCTION vultus_prune_events(keep interval, batch integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    tenant uuid;
    last bigint;
    pruned bigint;
BEGIN
    SELECT h.tenant_id INTO tenant FROM audit_heads h
    WHERE EXISTS (SELECT FROM events e WHERE e.tenant_id = h.tenant_id AND e.at < now() - keep)
    LIMIT 1 FOR NO KEY UPDATE OF h SKIP LOCKED;
    IF tenant IS NULL THEN
        RETURN 0;
    END IF;
    SELECT max(seq) INTO last FROM (
        SELECT e.seq FROM events e WHERE e.tenant_id = tenant AND e.at < now() - keep ORDER BY e.at, e.seq LIMIT batch
    ) oldest;
    UPDATE audit_heads h SET events_pruned_through = greatest(h.events_pruned_through, last) WHERE h.tenant_id = tenant;
    PERFORM FROM webhook_deliveries d WHERE d.tenant_id = tenant AND d.seq <= last ORDER BY d.seq FOR UPDATE;
    DELETE FROM events e WHERE e.tenant_id = tenant AND e.seq <= last AND e.at < now() - keep;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("audit_heads", sa.Column("event_seq", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column(
        "audit_heads", sa.Column("events_pruned_through", sa.BigInteger(), nullable=False, server_default="0")
    )
    _create_events()
    _create_webhooks()
    _create_deliveries()
    for table in ("events", "webhooks", "webhook_deliveries"):
        isolate(table)
    op.execute("CREATE POLICY watching ON webhooks FOR SELECT TO CURRENT_USER USING (true)")
    op.execute("CREATE POLICY watching ON webhook_deliveries TO CURRENT_USER USING (true)")
    op.execute("CREATE POLICY pruning ON events TO CURRENT_USER USING (true)")
    op.execute("CREATE POLICY pruning ON audit_heads TO CURRENT_USER USING (true)")
    for function in (FORGET_EVENTS, ADD_EVENTS, APPEND_WITH_EVENTS, DUE_WEBHOOKS, PRUNE_EVENTS):
        op.execute(function)
    for signature in ("vultus_due_webhooks()", "vultus_prune_events(interval, integer)"):
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {APP_ROLE}, {OPERATOR_ROLE}")


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("successor", sa.Text(), nullable=True),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_events_tenant_id_tenants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "seq", name=op.f("pk_events")),
    )
    op.create_index("ix_events_at", "events", ["tenant_id", "at"])
    op.create_index(
        "ix_events_anonymous",
        "events",
        ["tenant_id", "collection"],
        postgresql_where=sa.text("subject IS NULL AND type = 'face.registered'"),
    )
    op.create_index(
        "ix_events_successor",
        "events",
        ["tenant_id", "successor"],
        postgresql_where=sa.text("successor IS NOT NULL"),
    )
    op.create_index("ix_events_subject", "events", ["tenant_id", "collection", "subject"])


def _create_webhooks() -> None:
    def column(name: str, kind: Any, default: str | None = None) -> sa.Column[Any]:
        return sa.Column(name, kind, nullable=False, server_default=sa.text(default) if default else None)

    op.create_table(
        "webhooks",
        column("tenant_id", sa.Uuid()),
        column("id", sa.Uuid()),
        column("created_at", sa.DateTime(timezone=True), "now()"),
        column("url", sa.Text()),
        column("description", sa.Text(), "''"),
        column("types", postgresql.ARRAY(sa.Text()), "'{}'"),
        column("collections", postgresql.ARRAY(sa.Text()), "'{}'"),
        column("is_enabled", sa.Boolean(), "true"),
        sa.Column("disabled_because", sa.Text(), nullable=True),
        column("key_id", sa.Text()),
        column("secret_encrypted", sa.LargeBinary()),
        sa.Column("previous_key_id", sa.Text(), nullable=True),
        sa.Column("previous_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        column("resume_at", sa.DateTime(timezone=True), "now()"),
        column("is_queued", sa.Boolean(), "false"),
        column("turn", sa.BigInteger(), "0"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_webhooks_tenant_id_tenants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_webhooks")),
    )


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("order_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, server_default="waiting"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("taken_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "webhook_id"],
            ["webhooks.tenant_id", "webhooks.id"],
            name=op.f("fk_webhook_deliveries_tenant_id_webhooks"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "seq"],
            ["events.tenant_id", "events.seq"],
            name=op.f("fk_webhook_deliveries_tenant_id_events"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "webhook_id", "seq", name=op.f("pk_webhook_deliveries")),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["tenant_id", "webhook_id", "due_at", "seq"],
        postgresql_where=waiting,
    )
    op.create_index(
        "ix_webhook_deliveries_order",
        "webhook_deliveries",
        ["tenant_id", "webhook_id", "order_key", "seq"],
        postgresql_where=waiting,
    )
    op.create_index("ix_webhook_deliveries_event", "webhook_deliveries", ["tenant_id", "seq"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION vultus_prune_events(interval, integer)")
    op.execute("DROP FUNCTION vultus_due_webhooks()")
    op.execute("DROP FUNCTION vultus_append_with_events")
    op.execute("DROP FUNCTION vultus_add_events")
    op.execute("DROP FUNCTION vultus_forget_events")
    op.execute("DROP POLICY pruning ON audit_heads")
    for table in ("webhook_deliveries", "webhooks", "events"):
        op.drop_table(table)
    op.drop_column("audit_heads", "events_pruned_through")
    op.drop_column("audit_heads", "event_seq")
