"""Exact search in PostgreSQL with pgvector: complete for every tenant, one round trip for all faces of an image.

It reads one covering index (tenant, collection, recogniser, subject) that holds the embeddings, never a vector index:
behind a tenant filter that one returns a fraction of the true matches (docs/decisions/0004).
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import Candidate, Embedding
from app.matcher.search import Gallery
from app.matcher.similarity import clip_similarity

# Distance exists in this statement only; what leaves it is similarity. Ranking is by the subject's best template; the
# threshold is no part of it, so it can never cost a candidate.
_SEARCH = text("""
WITH probes AS MATERIALIZED (  -- else the text would be parsed again for every template
    SELECT ordinal, CAST(literal AS halfvec(512)) AS embedding
    FROM unnest(CAST(:probes AS text[])) WITH ORDINALITY AS given(literal, ordinal)
)
SELECT probes.ordinal, best.subject, best.name, best.similarity
FROM probes
CROSS JOIN LATERAL (
    SELECT subjects.subject, subjects.name, scored.similarity
    FROM (
        SELECT subject_id, max(1 - (templates.embedding <=> probes.embedding)) AS similarity
        FROM templates
        WHERE tenant_id = :tenant_id AND collection_id = :collection_id AND recognizer = :recognizer
          AND (CAST(:subject_id AS uuid) IS NULL OR subject_id = CAST(:subject_id AS uuid))
        GROUP BY subject_id
        ORDER BY similarity DESC
        FETCH FIRST (CAST(:limit AS bigint)) ROWS WITH TIES  -- so that only these few are joined
    ) AS scored
    JOIN subjects ON subjects.tenant_id = :tenant_id AND subjects.id = scored.subject_id
    ORDER BY scored.similarity DESC, subjects.subject COLLATE "C"
    LIMIT :limit
) AS best
ORDER BY probes.ordinal, best.similarity DESC, best.subject COLLATE "C"
""")


class PgvectorSearch:
    """Searches the templates of one tenant through the request's session."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def search(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> list[list[Candidate]]:
        """As `GallerySearch.search`; similarities carry the rounding of half precision, about 1e-4."""
        if not probes:
            return []
        rows = await self._session.execute(
            _SEARCH,
            {
                "probes": [_literal(probe) for probe in probes],
                "tenant_id": self._tenant_id,
                "collection_id": gallery.collection_id,
                "recognizer": gallery.recognizer,
                "subject_id": gallery.subject_id,
                "limit": limit,
            },
        )
        ranked: list[list[Candidate]] = [[] for _ in probes]
        for ordinal, subject, name, similarity in rows:
            ranked[ordinal - 1].append(Candidate(subject, name, clip_similarity(similarity)))
        return ranked


def _literal(embedding: Embedding) -> str:
    return "[" + ",".join(f"{value:.6g}" for value in embedding.tolist()) + "]"
