"""The SQL of searches. Every statement is limited to one tenant and one gallery or collection by its parameters.

Distances exist only here. pgvector's `<#>` is the negative inner product, so `-(a <#> b)` is the cosine similarity of
unit-length embeddings; `<~>` is the Hamming distance of two codes. Each ranking has one statement per strategy
(`strategy.py`). All compare embeddings at half precision, so the strategies return identical similarities.

Parameters of a ranking: `$1` tenant id, `$2` gallery id, `$3` the probes, `$4` the limit, and `$5` the number of
templates to compare, except where a docstring says otherwise.
"""

from typing import Generic
from uuid import UUID

from app.domain.faces import RELIABLE_FROM
from app.matcher.found import K
from app.matcher.subject_similarity import MAX_COMMON_TEMPLATES
from app.persistence.models import MAX_COVERED_SEQ

FACTS = """
SELECT g.id, g.templates, g.last_seq, g.deletions, g.epoch, g.graph, g.graph_upto, g.graph_trusted,
       g.generation, s.salt, s.key_id,
       c.max_false_match_rate AS max_rate, c.review_false_match_rate AS review_rate, c.calibration::text AS calibration,
       c.recognizer AS in_use
FROM galleries g LEFT JOIN template_salts s ON s.tenant_id = g.tenant_id AND s.generation = g.generation
JOIN collections c ON c.tenant_id = g.tenant_id AND c.id = g.collection_id
WHERE g.tenant_id = $1 AND g.collection_id = $2 AND g.recognizer = $3
"""

POLICY = """
SELECT max_false_match_rate AS max_rate, review_false_match_rate AS review_rate, calibration::text AS calibration,
       recognizer AS in_use
FROM collections WHERE tenant_id = $1 AND id = $2
"""

VERSION = """
SELECT g.id, g.collection_id, c.name AS collection, g.recognizer, g.templates, g.last_seq, g.deletions, g.epoch,
       g.generation, s.salt, s.key_id
FROM galleries g JOIN collections c ON c.tenant_id = g.tenant_id AND c.id = g.collection_id
LEFT JOIN template_salts s ON s.tenant_id = g.tenant_id AND s.generation = g.generation
WHERE g.tenant_id = $1 AND g.id = $2
"""

_GALLERY = "templates.tenant_id = $1 AND templates.gallery_id = $2"
_RELIABLE = f"coalesce((templates.quality->>'score')::float8 >= {RELIABLE_FROM}, true)"

# The subjects with their newest embeddings, and the faces behind the sequence numbers `$4`, whose rows have no subject.
SUBJECTS = f"""
SELECT subjects.id, subjects.subject, subjects.name, subjects.is_anonymous, newest.embedding, newest.is_reliable,
       NULL::bigint AS seq, NULL::uuid AS face_id, NULL::uuid AS image_id, NULL AS external_image_id,
       NULL::float8[] AS box
FROM subjects CROSS JOIN LATERAL (
    SELECT embedding, {_RELIABLE} AS is_reliable FROM templates
    WHERE {_GALLERY} AND templates.subject_id = subjects.id ORDER BY seq DESC LIMIT {MAX_COMMON_TEMPLATES}
) AS newest
WHERE subjects.tenant_id = $1 AND subjects.id = ANY ($3::uuid[])
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, seq, templates.id, image_id, external_image_id, box
FROM templates WHERE {_GALLERY} AND seq = ANY ($4::bigint[])
"""

BEST_TEMPLATE = f"""
SELECT best[1] AS similarity, best[2]::bigint AS seq, templates
FROM (
    SELECT max(ARRAY[-(embedding <#> $4), seq]) AS best, count(*) AS templates
    FROM templates WHERE {_GALLERY} AND templates.subject_id = $3
) AS compared
"""

# Compares all named subjects, so the number of anonymous faces in between does not matter.
NAMED_SUBJECTS = f"""
SELECT key, similarity, seq FROM (
    SELECT DISTINCT ON (subjects.id) subjects.id AS key, -(templates.embedding <#> $4) AS similarity, seq
    FROM subjects JOIN templates ON {_GALLERY} AND templates.subject_id = subjects.id
    WHERE subjects.tenant_id = $1 AND subjects.collection_id = $3 AND NOT subjects.is_anonymous
    ORDER BY subjects.id, similarity DESC, seq
) AS best ORDER BY similarity DESC, key LIMIT $5
"""

FACE = f"SELECT seq, subject_id, embedding, {_RELIABLE} FROM templates WHERE {_GALLERY} AND templates.id = $3"

FACES = f"""
SELECT seq, templates.id, recognizer, detection_score, image_id, external_image_id, box, subject, is_anonymous,
       {_RELIABLE} AS is_reliable
FROM templates JOIN subjects ON subjects.tenant_id = $1 AND subjects.id = templates.subject_id
WHERE {_GALLERY} AND seq = ANY ($3::bigint[])
"""

# The faces of a gallery with their embeddings: all, or those with the ids `$3`.
ALL_FACES = f"SELECT templates.id, embedding, {_RELIABLE} AS is_reliable FROM templates WHERE {_GALLERY}"
FACES_BY_ID = f"{ALL_FACES} AND templates.id = ANY ($3::uuid[])"

# Every face at or above the similarity `$5`, among those with a sequence number above `$3`.
SIMILAR = f"""
SELECT compared.seq, compared.similarity FROM (
    SELECT seq, -(embedding <#> $4) AS similarity FROM templates WHERE {_GALLERY} AND seq > $3
) AS compared WHERE compared.similarity >= $5
"""

# Deletions leave gaps, so each requested sequence number selects the first template at or after it.
SAMPLE = f"""
SELECT sampled.embedding
FROM unnest($3::bigint[]) AS requested(seq)
CROSS JOIN LATERAL (
    SELECT embedding FROM templates WHERE {_GALLERY} AND templates.seq >= requested.seq ORDER BY templates.seq LIMIT 1
) AS sampled
"""

ALL_CODES = f"SELECT seq, code FROM templates WHERE {_GALLERY} AND seq > $3 ORDER BY seq"
ALL_TEMPLATES = f"""
SELECT seq, subject_id, embedding, {_RELIABLE} FROM templates WHERE {_GALLERY} AND seq > $3 ORDER BY seq
"""

# Materialized: otherwise PostgreSQL would parse and quantize the probe again for every template.
_PROBES = """
WITH probes AS MATERIALIZED (
    SELECT ordinal, embedding, binary_quantize(embedding)::bit(512) AS code{columns}
    FROM unnest($3::halfvec[]{arrays}) WITH ORDINALITY AS given(embedding{columns}, ordinal)
)
"""

# The largest pair of similarity and sequence number names the most similar template; of equal ones, the newest.
_RANKED = (
    _PROBES
    + """
SELECT probes.ordinal, best.key, best.of_best[1], best.of_best[2]::bigint
FROM probes CROSS JOIN LATERAL (
    SELECT key, max(ARRAY[similarity, seq]) AS of_best FROM ({found}) AS found
    GROUP BY key ORDER BY (max(ARRAY[similarity, seq]))[1] DESC LIMIT $4
) AS best
ORDER BY probes.ordinal, best.of_best[1] DESC
"""
)

# For the fallback: also decides which of the results tied at the limit are returned.
_RANKED_WITH_TIES = (
    _PROBES.format(columns="", arrays="")
    + """
SELECT probes.ordinal, best.key, best.similarity, best.seq
FROM probes CROSS JOIN LATERAL (
    SELECT scored.key, scored.similarity, scored.seq
    FROM (
        SELECT key, (max(ARRAY[similarity, seq]))[1] AS similarity, (max(ARRAY[similarity, seq]))[2]::bigint AS seq
        FROM ({found}) AS found
        GROUP BY key ORDER BY similarity DESC FETCH FIRST ($4::bigint) ROWS WITH TIES
    ) AS scored
    {ties} LIMIT $4
) AS best
ORDER BY probes.ordinal, best.similarity DESC
"""
)

_COMPARED = (
    "SELECT templates.{key} AS key, -(templates.embedding <#> probes.embedding) AS similarity, templates.seq "
    "FROM templates"
)


class Ranking(Generic[K]):
    """The statements that rank a gallery by one key: the subject's id, or the sequence number of a single face.

    Each attribute is the SQL text of one strategy or of one step of the fallback (`ranking.py`).
    """

    def __init__(self, key: str, *, ties: str, templates_per_result: int) -> None:
        self.templates_per_result = templates_per_result
        """How many templates to compare per requested result; a subject may have several similar templates."""
        self.exact, self.exact_uncovered = _exact(key)
        self.codes = _ranked(_nearest(key, depth="LIMIT $5"))
        self.cached_codes = _cached_codes(key)
        self.graph = _graph(key)
        # Equal embeddings have equal codes: WITH TIES keeps all of them.
        self.deep = _ranked_with_ties(_nearest(key, depth="FETCH FIRST ($5::bigint) ROWS WITH TIES"), ties)
        self.complete = _ranked_with_ties(f"{_COMPARED.format(key=key)} WHERE {_GALLERY}", ties)


def _exact(key: str) -> tuple[str, str]:
    """Build the exact comparison for galleries inside the covering index, and for galleries beyond it.

    The planner uses the partial covering index only if the statement repeats the index condition.
    """
    compared = _COMPARED.format(key=key)
    covered, uncovered = (
        _ranked(f"{compared} WHERE {_GALLERY}{condition} ORDER BY similarity DESC LIMIT $5")
        for condition in (f" AND seq <= {MAX_COVERED_SEQ}", "")
    )
    return covered, uncovered


def _cached_codes(key: str) -> str:
    """Build the comparison of the templates that cached codes selected, and of all templates newer than `$5`.

    `$8` lists the selected sequence numbers of all probes; `$6` and `$7` are each probe's first and last index in it.
    """
    compared = _COMPARED.format(key=key)
    found = f"""
                {compared} WHERE {_GALLERY} AND seq = ANY (($8::bigint[])[probes.first:probes.last])
                UNION ALL {compared} WHERE {_GALLERY} AND seq > $5
            """
    return _ranked(found, columns=", first, last", arrays=", $6::int[], $7::int[]")


def _graph(key: str) -> str:
    """Build the walk of an HNSW graph, joined with a comparison by codes of the templates newer than the graph.

    `{condition}` and `{through_seq}` must be inserted as literals: the planner uses the graph, a partial index, only if
    the statement repeats its condition. Both values come from the database, never from a caller.
    """
    found = f"""
                SELECT key, similarity, seq FROM (
                    {_COMPARED.format(key=key)} WHERE templates.tenant_id = $1 AND {{condition}}
                    ORDER BY templates.embedding <=> probes.embedding LIMIT $5
                ) AS walked
                UNION ALL ({_nearest(key, condition=" AND seq > {through_seq}", depth="LIMIT $5")})
            """
    return _ranked(found)


def _nearest(key: str, *, condition: str = "", depth: str) -> str:
    """Build the comparison by codes: select the nearest codes (Hamming distance), then compare their embeddings."""
    return f"""
            SELECT templates.{key} AS key, -(templates.embedding <#> probes.embedding) AS similarity, templates.seq
            FROM (
                SELECT seq FROM templates WHERE {_GALLERY}{condition} ORDER BY templates.code <~> probes.code {depth}
            ) AS near
            JOIN templates ON {_GALLERY} AND templates.seq = near.seq
        """


def _ranked(found: str, *, columns: str = "", arrays: str = "") -> str:
    return _RANKED.format(columns=columns, arrays=arrays, found=found)


def _ranked_with_ties(found: str, ties: str) -> str:
    return _RANKED_WITH_TIES.format(found=found, ties=ties)


BY_SUBJECT = Ranking[UUID](
    "subject_id",
    ties="JOIN subjects ON subjects.tenant_id = $1 AND subjects.id = scored.key "
    'ORDER BY scored.similarity DESC, subjects.subject COLLATE "C"',
    templates_per_result=8,
)
BY_FACE = Ranking[int]("seq", ties="ORDER BY scored.similarity DESC, scored.key", templates_per_result=2)
