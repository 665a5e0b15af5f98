"""Create functions that register a person's faces and append to the audit trail, in one round trip for each step."""

from collections.abc import Sequence

from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# All functions run in the caller's transaction, which has set the role and the tenant.

# Locks the collection, binds it to its first recognizer, creates or updates the subject and locks it. Returns what the
# rules of app/services/people/ need, and no row without such a collection. `scores` and `max_faces` choose the stored
# faces to return: those of photos with a digest, and those with one of the detection scores.
BEGIN_REGISTRATION = """
CREATE FUNCTION vultus_begin_registration(
    tenant uuid, wanted text, default_recognizer text, recognizers text[],
    wanted_subject text, new_id uuid, new_name text, new_metadata jsonb, new_expiry timestamptz, new_consent text,
    recorded_by text, reads_expiry boolean, scores double precision[], max_faces integer
)
RETURNS TABLE (
    collection_id uuid, recognizer text, secondary text, subject_id uuid, was_there boolean, former_expiry timestamptz,
    has_consent boolean, has_withdrawn boolean, needs_consent boolean,
    protected text[], generations integer[], salts bytea[], key_ids text[],
    faces uuid[], images uuid[], external_images text[], boxes text[], digests bytea[],
    face_scores double precision[], have_quality boolean[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    gallery record;
    former record;
    person record;
BEGIN
    SELECT c.id, c.recognizer, c.secondary_recognizer INTO gallery
    FROM collections c WHERE c.tenant_id = tenant AND c.name = wanted FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF gallery.recognizer IS NULL THEN
        UPDATE collections c SET recognizer = coalesce(c.recognizer, default_recognizer)
        WHERE c.tenant_id = tenant AND c.id = gallery.id
        RETURNING c.id, c.recognizer, c.secondary_recognizer INTO gallery;
    END IF;
    IF reads_expiry THEN
        SELECT s.id, s.expires_at INTO former FROM subjects s
        WHERE s.tenant_id = tenant AND s.collection_id = gallery.id AND s.subject = wanted_subject FOR UPDATE;
        was_there := FOUND;
        former_expiry := former.expires_at;
    END IF;
    INSERT INTO subjects AS s (
        tenant_id, id, collection_id, subject, name, metadata, expires_at, consent, consented_at, consent_recorded_by
    ) VALUES (
        tenant, new_id, gallery.id, wanted_subject, new_name, coalesce(new_metadata, '{}'), new_expiry, new_consent,
        CASE WHEN new_consent IS NOT NULL THEN clock_timestamp() END,
        CASE WHEN new_consent IS NOT NULL THEN recorded_by END
    )
    ON CONFLICT (tenant_id, collection_id, subject) DO UPDATE SET
        updated_at = now(),
        name = coalesce(new_name, s.name),
        metadata = coalesce(new_metadata, s.metadata),
        expires_at = coalesce(new_expiry, s.expires_at),
        consent = coalesce(new_consent, s.consent),
        consented_at = CASE WHEN new_consent IS NULL THEN s.consented_at ELSE clock_timestamp() END,
        consent_recorded_by = CASE WHEN new_consent IS NULL THEN s.consent_recorded_by ELSE recorded_by END,
        consent_withdrawn_at = CASE WHEN new_consent IS NULL THEN s.consent_withdrawn_at END
    RETURNING s.id, s.consented_at, s.consent_withdrawn_at INTO person;
    collection_id := gallery.id;
    recognizer := gallery.recognizer;
    secondary := gallery.secondary_recognizer;
    subject_id := person.id;
    has_consent := person.consented_at IS NOT NULL;
    has_withdrawn := person.consent_withdrawn_at IS NOT NULL;
    needs_consent := coalesce(
        (SELECT p.consent_required FROM tenant_policies p WHERE p.tenant_id = tenant), false
    );
    SELECT array_agg(g.recognizer), array_agg(g.generation), array_agg(t.salt), array_agg(t.key_id)
    INTO protected, generations, salts, key_ids
    FROM galleries g LEFT JOIN template_salts t ON t.tenant_id = g.tenant_id AND t.generation = g.generation
    WHERE g.tenant_id = tenant AND g.collection_id = gallery.id AND g.recognizer = ANY (recognizers);
    IF person.id <> new_id THEN
        SELECT array_agg(f.id), array_agg(f.image_id), array_agg(f.external_image_id), array_agg(f.box::text),
               array_agg(f.image_digest), array_agg(f.detection_score), array_agg(f.quality ? 'score')
        INTO faces, images, external_images, boxes, digests, face_scores, have_quality
        FROM (
            SELECT t.* FROM templates t
            WHERE t.tenant_id = tenant AND t.subject_id = person.id AND t.box IS NOT NULL
              AND (t.image_digest IS NOT NULL OR t.detection_score = ANY (scores))
            ORDER BY t.id, t.gallery_id LIMIT max_faces
        ) f;
    END IF;
    RETURN NEXT;
END $$
"""

# The upsert locks the gallery's row until the transaction ends, and every template up to its `last_seq` was stored
# under that lock. Sequence numbers thus become visible in order, so a search can cache the templates up to one number
# and read only newer ones. If the gallery's protection changed in between, nothing is stored and no row returned.
# With `is_last`, the tenant's templates are counted, and unless they exceed `quota`, the audit trail's next number is
# taken: its lock comes last.
STORE_TEMPLATES = """
CREATE FUNCTION vultus_store_templates(
    tenant uuid, new_gallery uuid, collection uuid, by_recognizer text, at_generation integer, from_source text,
    ids uuid[], subject_ids uuid[], embeddings real[], scores double precision[], qualities text[], image_ids uuid[],
    external_image_ids text[], boxes text[], image_digests bytea[], moved timestamptz[],
    is_last boolean, quota bigint, first_seal bytea
)
RETURNS TABLE (
    stored_at timestamptz, used bigint, audit_seq bigint, audit_seal bytea, audit_at timestamptz
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    size CONSTANT integer := array_length(embeddings, 1) / array_length(ids, 1);
    number CONSTANT bigint := array_length(ids, 1);
    gallery record;
BEGIN
    INSERT INTO galleries AS g (tenant_id, id, collection_id, recognizer, templates, last_seq, generation)
    VALUES (tenant, new_gallery, collection, by_recognizer, number, number, at_generation)
    ON CONFLICT (tenant_id, collection_id, recognizer) DO UPDATE
    SET templates = g.templates + excluded.templates, last_seq = g.last_seq + excluded.last_seq
    WHERE g.generation = excluded.generation
    RETURNING g.id, g.last_seq INTO gallery;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO templates (
        tenant_id, id, collection_id, subject_id, gallery_id, seq, recognizer, embedding, detection_score, quality,
        source, image_id, external_image_id, box, image_digest, moved_at
    )
    SELECT tenant, face.id, collection, face.subject_id, gallery.id, gallery.last_seq - number + face.ordinal,
           by_recognizer, (embeddings[(face.ordinal - 1) * size + 1 : face.ordinal * size])::halfvec, face.score,
           face.quality::jsonb, from_source, face.image_id, face.external_image_id, face.box::double precision[],
           face.image_digest, face.moved_at
    FROM unnest(ids, subject_ids, scores, qualities, image_ids, external_image_ids, boxes, image_digests, moved)
        WITH ORDINALITY AS face(
            id, subject_id, score, quality, image_id, external_image_id, box, image_digest, moved_at, ordinal);
    stored_at := now();
    IF is_last THEN
        SELECT u.templates INTO used FROM tenant_usage u WHERE u.tenant_id = tenant;
        IF quota IS NULL OR used IS NULL OR used <= quota THEN
            SELECT a.seq, a.seal, a.at INTO audit_seq, audit_seal, audit_at
            FROM vultus_next_audit_entry(tenant, first_seal) a;
        END IF;
    END IF;
    RETURN NEXT;
END $$
"""

# Takes the next sequence number and locks the chain until the transaction ends, so entries follow the commit order.
NEXT_AUDIT_ENTRY = """
CREATE FUNCTION vultus_next_audit_entry(tenant uuid, first_seal bytea)
RETURNS TABLE (seq bigint, seal bytea, at timestamptz) LANGUAGE sql AS $$
    INSERT INTO audit_heads AS head (tenant_id, seq, seal) VALUES (tenant, 1, first_seal)
    ON CONFLICT (tenant_id) DO UPDATE SET seq = head.seq + 1
    RETURNING head.seq, head.seal, clock_timestamp()
$$
"""

APPEND_AUDIT_ENTRY = """
CREATE FUNCTION vultus_append_audit_entry(
    tenant uuid, new_seq bigint, new_at timestamptz, new_actor text, new_action text, new_target text,
    new_details jsonb, new_request text, new_key text, previous_seal bytea, new_seal bytea
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_entries (
        tenant_id, seq, at, actor, action, target, details, request_id, key_id, previous, seal
    ) VALUES (
        tenant, new_seq, new_at, new_actor, new_action, new_target, new_details, new_request, new_key, previous_seal,
        new_seal
    );
    UPDATE audit_heads h SET seal = new_seal WHERE h.tenant_id = tenant;
END $$
"""

FUNCTIONS = (
    ("vultus_begin_registration", BEGIN_REGISTRATION),
    ("vultus_next_audit_entry", NEXT_AUDIT_ENTRY),
    ("vultus_store_templates", STORE_TEMPLATES),
    ("vultus_append_audit_entry", APPEND_AUDIT_ENTRY),
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for _, statement in FUNCTIONS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, _ in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
