"""What a search asks PostgreSQL: one statement for each strategy, for all probes of a search in one round trip.

Distance exists in this file only; what leaves it is similarity. Every statement ranks subjects by their most similar
template and compares embeddings at half precision, so the strategies agree to the last digit on whom they both find.
The inner product stands for the cosine: embeddings have unit length.
"""

from collections.abc import Sequence
from typing import Any, Generic
from uuid import UUID

from app.domain.decisions import EMPTY, GalleryScale
from app.domain.faces import Embedding, RelativeBox
from app.domain.people import CollectionFace
from app.errors import RecognizerChanged
from app.matcher.found import BestOfSubject, Found, K, OneFace, Person
from app.matcher.gallery_version import GalleryVersion, read_protection, read_scale
from app.matcher.hnsw.graph import GRAPH_SETTINGS, Graph, graph_condition
from app.matcher.search import Gallery
from app.matcher.strategy import GalleryFacts
from app.matcher.subject_similarity import MAX_COMMON_TEMPLATES
from app.persistence.connections.driver import Connection
from app.persistence.connections.snapshots import encode_embedding
from app.persistence.models import COVERED_PLACES

_FACTS = """
SELECT g.id, g.templates, g.last_seq, g.deletions, g.epoch, g.graph, g.graph_upto, g.graph_trusted,
       g.generation, s.salt, s.key_id,
       c.max_false_match_rate AS max_rate, c.review_false_match_rate AS review_rate, c.calibration::text AS calibration,
       c.recognizer AS in_use
FROM galleries g LEFT JOIN template_salts s ON s.tenant_id = g.tenant_id AND s.generation = g.generation
JOIN collections c ON c.tenant_id = g.tenant_id AND c.id = g.collection_id
WHERE g.tenant_id = $1 AND g.collection_id = $2 AND g.recognizer = $3
"""

_POLICY = """
SELECT max_false_match_rate AS max_rate, review_false_match_rate AS review_rate, calibration::text AS calibration,
       recognizer AS in_use
FROM collections WHERE tenant_id = $1 AND id = $2
"""

# Materialised: else each probe would be read and quantized again for every template.
_PROBES = """
WITH probes AS MATERIALIZED (
    SELECT ordinal, embedding, binary_quantize(embedding)::bit(512) AS code{columns}
    FROM unnest($3::halfvec[]{arrays}) WITH ORDINALITY AS given(embedding{columns}, ordinal)
)
"""
_COMPARED = "SELECT templates.{key} AS key, -(templates.embedding <#> probes.embedding) AS similarity FROM templates"
_GALLERY = "templates.tenant_id = $1 AND templates.gallery_id = $2"


class Ranking(Generic[K]):
    """The statements that rank a gallery by one key: by subjects, or by single faces, which their places name."""

    def __init__(self, key: str, *, ties: str, depth_each: int) -> None:
        self.depth_each = depth_each
        """Templates to compare for each one wanted."""
        ranked = (
            _PROBES
            + """
SELECT probes.ordinal, best.key, best.similarity
FROM probes CROSS JOIN LATERAL (
    SELECT key, max(similarity) AS similarity FROM ({found}) AS found GROUP BY key ORDER BY similarity DESC LIMIT $4
) AS best
ORDER BY probes.ordinal, best.similarity DESC
"""
        )
        # For the rare searches that the others cannot answer: many templates a subject, or ties at the limit. Among the
        # nearest codes, of which far more are compared than otherwise, or among all.
        whole = (
            _PROBES.format(columns="", arrays="")
            + """
SELECT probes.ordinal, best.key, best.similarity
FROM probes CROSS JOIN LATERAL (
    SELECT scored.key, scored.similarity
    FROM (
        SELECT key, max(similarity) AS similarity FROM ({found}) AS found
        GROUP BY key ORDER BY similarity DESC FETCH FIRST ($4::bigint) ROWS WITH TIES
    ) AS scored
    """
            + ties
            + """ LIMIT $4
) AS best
ORDER BY probes.ordinal, best.similarity DESC
"""
        )
        compared = _COMPARED.format(key=key)
        nearest = f"""
            SELECT templates.{key} AS key, -(templates.embedding <#> probes.embedding) AS similarity
            FROM (
                SELECT seq FROM templates WHERE {_GALLERY}{{after}} ORDER BY templates.code <~> probes.code {{depth}}
            ) AS near
            JOIN templates ON {_GALLERY} AND templates.seq = near.seq
        """
        # With the condition of the covering index, for galleries that are in it as a whole, and without.
        self.exact, self.exact_beyond = (
            ranked.format(
                columns="", arrays="", found=f"{compared} WHERE {_GALLERY}{covered} ORDER BY similarity DESC LIMIT $5"
            )
            for covered in (f" AND seq <= {COVERED_PLACES}", "")
        )
        self.codes = ranked.format(columns="", arrays="", found=nearest.format(after="", depth="LIMIT $5"))
        self.cached_codes = ranked.format(
            columns=", first, last",
            arrays=", $6::int[], $7::int[]",
            found=f"""
                {compared} WHERE {_GALLERY} AND seq = ANY (($8::bigint[])[probes.first:probes.last])
                UNION ALL {compared} WHERE {_GALLERY} AND seq > $5
            """,
        )
        # The literals are the graph's own condition: the planner uses a partial index only where it sees them. No bound
        # parameter comes from a caller, the gallery's id and the place are the database's own.
        self.graph = ranked.format(
            columns="",
            arrays="",
            found=f"""
                SELECT key, similarity FROM (
                    {compared} WHERE templates.tenant_id = $1 AND {{condition}}
                    ORDER BY templates.embedding <=> probes.embedding LIMIT $5
                ) AS walked
                UNION ALL ({nearest.format(after=" AND seq > {upto}", depth="LIMIT $5")})
            """,
        )
        # Equal embeddings have equal codes: with ties none of them is left out.
        self.deep = whole.format(found=nearest.format(after="", depth="FETCH FIRST ($5::bigint) ROWS WITH TIES"))
        self.complete = whole.format(found=f"{compared} WHERE {_GALLERY}")


BY_SUBJECT = Ranking[UUID](
    "subject_id",
    ties="JOIN subjects ON subjects.tenant_id = $1 AND subjects.id = scored.key "
    'ORDER BY scored.similarity DESC, subjects.subject COLLATE "C"',
    depth_each=8,
)
BY_FACE = Ranking[int]("seq", ties="ORDER BY scored.similarity DESC, scored.key", depth_each=2)

_PEOPLE = f"""
SELECT subjects.id, subjects.subject, subjects.name, subjects.is_anonymous, newest.embedding
FROM subjects CROSS JOIN LATERAL (
    SELECT embedding FROM templates
    WHERE {_GALLERY} AND templates.subject_id = subjects.id ORDER BY seq DESC LIMIT {MAX_COMMON_TEMPLATES}
) AS newest
WHERE subjects.tenant_id = $1 AND subjects.id = ANY ($3::uuid[])
"""

_BEST_OF_SUBJECT = f"""
SELECT max(-(embedding <#> $4)) AS similarity, count(*) AS templates
FROM templates WHERE {_GALLERY} AND templates.subject_id = $3
"""

_ONE_FACE = f"SELECT seq, subject_id, embedding FROM templates WHERE {_GALLERY} AND templates.id = $3"

# Complete among those whom somebody named, however many faces of nobody known stand nearer.
_KNOWN = f"""
SELECT subjects.id AS key, max(-(templates.embedding <#> $4)) AS similarity
FROM subjects JOIN templates ON {_GALLERY} AND templates.subject_id = subjects.id
WHERE subjects.tenant_id = $1 AND subjects.collection_id = $3 AND NOT subjects.is_anonymous
GROUP BY subjects.id ORDER BY similarity DESC LIMIT $5
"""

_FACES = f"""
SELECT seq, templates.id, recognizer, detection_score, image_id, external_image_id, box, subject, is_anonymous
FROM templates JOIN subjects ON subjects.tenant_id = $1 AND subjects.id = templates.subject_id
WHERE {_GALLERY} AND seq = ANY ($3::bigint[])
"""

# The first template at or after each of some places: erased ones leave gaps.
_SAMPLE = f"""
SELECT sampled.embedding
FROM unnest($3::bigint[]) AS wanted(place)
CROSS JOIN LATERAL (
    SELECT embedding FROM templates WHERE {_GALLERY} AND seq >= wanted.place ORDER BY seq LIMIT 1
) AS sampled
"""

_VERSION = """
SELECT g.id, g.collection_id, c.name AS collection, g.recognizer, g.templates, g.last_seq, g.deletions, g.epoch,
       g.generation, s.salt, s.key_id
FROM galleries g JOIN collections c ON c.tenant_id = g.tenant_id AND c.id = g.collection_id
LEFT JOIN template_salts s ON s.tenant_id = g.tenant_id AND s.generation = g.generation
WHERE g.tenant_id = $1 AND g.id = $2
"""

_ALL_CODES = f"SELECT seq, code FROM templates WHERE {_GALLERY} AND seq > $3 ORDER BY seq"
_ALL_TEMPLATES = f"SELECT seq, subject_id, embedding FROM templates WHERE {_GALLERY} AND seq > $3 ORDER BY seq"

COPY_HEADER_BYTES = 19
"""Before the first row that `copy_codes` and `copy_templates` give."""


def _require_in_use(row: Any, gallery: Gallery) -> None:
    if row is not None and row["in_use"] not in (None, gallery.recognizer):
        raise RecognizerChanged


class GalleryStatements:
    """The statements on one tenant's rows, in one snapshot."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    def ranked_by(self, ranking: Ranking[K]) -> "RankedStatements[K]":
        """The statements that rank by subject or by face, in the same snapshot."""
        return RankedStatements(self._connection, self._tenant_id, ranking)

    async def read_facts(self, gallery: Gallery) -> GalleryFacts | None:
        """What the database says of the gallery; None while it is empty.

        Raises `RecognizerChanged` where it was emptied because its collection went over to another recognizer, since
        it was looked up: it is not that nobody is there.
        """
        row = await self._connection.fetchrow(_FACTS, self._tenant_id, gallery.collection_id, gallery.recognizer)
        if row is None:
            row = await self._connection.fetchrow(_POLICY, self._tenant_id, gallery.collection_id)
            _require_in_use(row, gallery)
            return None
        if not row["templates"]:
            _require_in_use(row, gallery)
        graph = Graph(row["graph"], row["graph_upto"], row["graph_trusted"]) if row["graph"] else None
        return GalleryFacts(
            row["id"],
            row["templates"],
            row["last_seq"],
            row["deletions"],
            row["epoch"],
            graph,
            read_protection(row),
            read_scale(row, row["templates"], gallery.recognizer),
        )

    async def read_empty(self, gallery: Gallery) -> GalleryScale:
        """How decisions are made on a collection that has no gallery yet."""
        row = await self._connection.fetchrow(_POLICY, self._tenant_id, gallery.collection_id)
        return read_scale(row, 0, gallery.recognizer) if row is not None else EMPTY

    async def read_people(self, gallery_id: UUID, subject_ids: Sequence[UUID]) -> dict[UUID, Person]:
        """The subjects that have templates in the gallery."""
        people: dict[UUID, Person] = {}
        embeddings: dict[UUID, list[Embedding]] = {}
        rows = await self._connection.fetch(_PEOPLE, self._tenant_id, gallery_id, subject_ids)
        for subject_id, subject, name, is_anonymous, embedding in rows:
            if subject_id not in people:
                embeddings[subject_id] = []
                people[subject_id] = Person(subject, name, embeddings[subject_id], is_anonymous)
            embeddings[subject_id].append(embedding)
        return people

    async def best_of_subject(self, gallery_id: UUID, subject_id: UUID, probe: Embedding) -> BestOfSubject | None:
        """The similarity of a subject's most similar template; None without any."""
        row = await self._connection.fetchrow(
            _BEST_OF_SUBJECT, self._tenant_id, gallery_id, subject_id, encode_embedding(probe)
        )
        return BestOfSubject(row["similarity"], row["templates"]) if row["templates"] else None

    async def read_face(self, gallery_id: UUID, face_id: UUID) -> OneFace | None:
        """A stored face by its id."""
        row = await self._connection.fetchrow(_ONE_FACE, self._tenant_id, gallery_id, face_id)
        return OneFace(*row) if row is not None else None

    async def known_subjects(
        self, gallery_id: UUID, collection_id: UUID, probe: Embedding, limit: int
    ) -> list[Found[UUID]]:
        """The best of all subjects that are not anonymous."""
        values = (self._tenant_id, gallery_id, collection_id, encode_embedding(probe), limit)
        return [Found(*row) for row in await self._connection.fetch(_KNOWN, *values)]

    async def read_faces(self, gallery_id: UUID, places: Sequence[int]) -> dict[int, CollectionFace]:
        """What stands at these places, as the collection shows it."""
        rows = await self._connection.fetch(_FACES, self._tenant_id, gallery_id, places)
        return {
            row["seq"]: CollectionFace(
                row["id"],
                row["recognizer"],
                row["detection_score"],
                row["image_id"],
                row["external_image_id"],
                RelativeBox(*row["box"]) if row["box"] is not None else None,
                None if row["is_anonymous"] else row["subject"],
            )
            for row in rows
        }

    async def read_embeddings(self, gallery_id: UUID, places: Sequence[int]) -> list[Embedding]:
        """The stored embeddings at these places or next after them, for measuring."""
        rows = await self._connection.fetch(_SAMPLE, self._tenant_id, gallery_id, list(places))
        return [row["embedding"] for row in rows]

    async def read_version(self, gallery_id: UUID) -> GalleryVersion | None:
        """Up to where the gallery goes now; None if it is gone."""
        row = await self._connection.fetchrow(_VERSION, self._tenant_id, gallery_id)
        if row is None:
            return None
        return GalleryVersion(
            row["id"],
            row["collection_id"],
            row["collection"],
            row["recognizer"],
            row["templates"],
            row["last_seq"],
            row["deletions"],
            row["epoch"],
            read_protection(row),
        )

    async def copy_codes(self, gallery_id: UUID, *, after: int) -> bytes:
        """Place and code of every template after a place, by place, as PostgreSQL's binary COPY sends them."""
        return await self._copy(_ALL_CODES, gallery_id, after)

    async def copy_templates(self, gallery_id: UUID, *, after: int) -> bytes:
        """Place, subject and embedding of every template after a place, likewise."""
        return await self._copy(_ALL_TEMPLATES, gallery_id, after)

    async def _copy(self, query: str, gallery_id: UUID, after: int) -> bytes:
        pieces: list[bytes] = []

        async def keep(piece: bytes) -> None:
            pieces.append(piece)

        await self._connection.copy_from_query(query, self._tenant_id, gallery_id, after, output=keep, format="binary")
        return b"".join(pieces)


class RankedStatements(Generic[K]):
    """The statements that rank one tenant's rows by one key, in one snapshot."""

    def __init__(self, connection: Connection, tenant_id: UUID, ranking: Ranking[K]) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._ranking = ranking

    async def exact(
        self, facts: GalleryFacts, probes: Sequence[Embedding], limit: int, depth: int
    ) -> list[list[Found[K]]]:
        """The best subjects among the `depth` most similar templates of all."""
        statement = self._ranking.exact if facts.last_seq <= COVERED_PLACES else self._ranking.exact_beyond
        return await self._ranked(statement, facts.id, probes, limit, depth)

    async def codes(
        self, gallery_id: UUID, probes: Sequence[Embedding], limit: int, depth: int
    ) -> list[list[Found[K]]]:
        """The best subjects among the `depth` templates with the nearest codes."""
        return await self._ranked(self._ranking.codes, gallery_id, probes, limit, depth)

    async def cached_codes(
        self, gallery_id: UUID, probes: Sequence[Embedding], limit: int, nearest: Sequence[Sequence[int]], upto: int
    ) -> list[list[Found[K]]]:
        """The best subjects among each probe's `nearest` places and all templates after the place `upto`."""
        first: list[int] = []
        last: list[int] = []
        places: list[int] = []
        for own in nearest:
            first.append(len(places) + 1)
            places.extend(own)
            last.append(len(places))
        return await self._ranked(self._ranking.cached_codes, gallery_id, probes, limit, upto, first, last, places)

    async def graph(
        self, gallery_id: UUID, probes: Sequence[Embedding], limit: int, graph: Graph, depth: int
    ) -> list[list[Found[K]]]:
        """The best subjects among the `depth` templates that the graph finds and, by their codes, those after it."""
        await self._connection.execute(GRAPH_SETTINGS.format(breadth=depth))
        statement = self._ranking.graph.format(
            condition=graph_condition(gallery_id, graph.upto), upto=f"{graph.upto:d}"
        )
        found = await self._ranked(statement, gallery_id, probes, limit, depth)
        await self._connection.execute("SELECT set_config('enable_sort', 'on', true)")
        return found

    async def deep(self, gallery_id: UUID, probes: Sequence[Embedding], limit: int, depth: int) -> list[list[Found[K]]]:
        """The best subjects among the `depth` nearest codes, ties at the limit by the subject's id."""
        return await self._ranked(self._ranking.deep, gallery_id, probes, limit, depth)

    async def complete(self, gallery_id: UUID, probes: Sequence[Embedding], limit: int) -> list[list[Found[K]]]:
        """The best subjects of all, ties at the limit by the subject's id."""
        return await self._ranked(self._ranking.complete, gallery_id, probes, limit)

    async def _ranked(
        self, statement: str, gallery_id: UUID, probes: Sequence[Embedding], limit: int, *more: object
    ) -> list[list[Found[K]]]:
        encoded = [encode_embedding(probe) for probe in probes]
        rows = await self._connection.fetch(statement, self._tenant_id, gallery_id, encoded, limit, *more)
        ranked: list[list[Found[K]]] = [[] for _ in probes]
        for ordinal, key, similarity in rows:
            ranked[ordinal - 1].append(Found(key, similarity))
        return ranked
