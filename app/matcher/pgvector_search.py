"""Runs the statements of a search in PostgreSQL, for all probes of a search in one round trip.

The SQL is in `statements.py`. Results carry similarities; distances never leave the SQL. Embeddings are passed and
compared in their protected form (`template_protector.py`).
"""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple
from uuid import UUID

from app.domain.decisions import EMPTY_SCALE, GalleryScale
from app.domain.faces import Embedding, RelativeBox
from app.domain.people import CollectionFace, FaceOrigin, MatchedFace
from app.errors import RecognizerChanged
from app.matcher import statements
from app.matcher.found import BestTemplate, FaceRow, Found, FoundSubject, FoundSubjects, K
from app.matcher.gallery_version import GalleryVersion, read_protection, read_scale
from app.matcher.hnsw.graph import GRAPH_SETTINGS, Graph, graph_condition
from app.matcher.search import Gallery
from app.matcher.statements import Ranking
from app.matcher.strategy import GalleryFacts
from app.persistence.connections.snapshots import encode_embedding
from app.persistence.connections.watchdog import Connection
from app.persistence.models import MAX_COVERED_SEQ

COPY_HEADER_BYTES = 19
"""Length of the header that precedes the first row of `copy_codes` and `copy_templates`."""


class GalleryFace(NamedTuple):
    """A stored face of a gallery; the embedding is in its protected form."""

    embedding: Embedding
    is_reliable: bool


class GalleryStatements:
    """Queries one tenant's galleries within one database snapshot."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    def ranked_by(self, ranking: Ranking[K]) -> "RankedStatements[K]":
        """Return the statements that rank by subject or by face, in the same snapshot."""
        return RankedStatements(self._connection, self._tenant_id, ranking)

    async def read_facts(self, gallery: Gallery) -> GalleryFacts | None:
        """Return the gallery's current size, versions, graph, protection and policy; None if it does not exist yet.

        Raises `RecognizerChanged` if the gallery has no templates because its collection was switched to another
        recognizer after the caller looked it up. An empty result would be wrong then.
        """
        row = await self._connection.fetchrow(
            statements.FACTS, self._tenant_id, gallery.collection_id, gallery.recognizer
        )
        if row is None:
            row = await self._connection.fetchrow(statements.POLICY, self._tenant_id, gallery.collection_id)
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

    async def read_empty_scale(self, gallery: Gallery) -> GalleryScale:
        """Return the decision settings of a collection that has no gallery yet."""
        row = await self._connection.fetchrow(statements.POLICY, self._tenant_id, gallery.collection_id)
        return read_scale(row, 0, gallery.recognizer) if row is not None else EMPTY_SCALE

    async def read_subjects(
        self, gallery_id: UUID, subject_ids: Sequence[UUID], seqs: Sequence[int] = ()
    ) -> FoundSubjects:
        """Return those of the subjects that have templates in the gallery, and the faces of these templates."""
        subjects: dict[UUID, FoundSubject] = {}
        faces: dict[int, MatchedFace] = {}
        embeddings: dict[UUID, list[Embedding]] = {}
        reliable: dict[UUID, list[bool]] = {}
        rows = await self._connection.fetch(statements.SUBJECTS, self._tenant_id, gallery_id, subject_ids, seqs)
        for subject_id, subject, name, is_anonymous, embedding, is_reliable, seq, *origin in rows:
            if subject_id is None:
                faces[seq] = describe_match(*origin)
                continue
            if subject_id not in subjects:
                embeddings[subject_id], reliable[subject_id] = [], []
                own = (embeddings[subject_id], is_anonymous, reliable[subject_id])
                subjects[subject_id] = FoundSubject(subject, name, *own)
            embeddings[subject_id].append(embedding)
            reliable[subject_id].append(is_reliable)
        return FoundSubjects(subjects, faces)

    async def find_best_template(self, gallery_id: UUID, subject_id: UUID, probe: Embedding) -> BestTemplate | None:
        """Compare the probe with all templates of a subject; None if it has none."""
        row = await self._connection.fetchrow(
            statements.BEST_TEMPLATE, self._tenant_id, gallery_id, subject_id, encode_embedding(probe)
        )
        return BestTemplate(row["similarity"], row["templates"], row["seq"]) if row["templates"] else None

    async def read_face(self, gallery_id: UUID, face_id: UUID) -> FaceRow | None:
        row = await self._connection.fetchrow(statements.FACE, self._tenant_id, gallery_id, face_id)
        return FaceRow(*row) if row is not None else None

    async def rank_named_subjects(
        self, gallery_id: UUID, collection_id: UUID, probe: Embedding, limit: int
    ) -> list[Found[UUID]]:
        """Compare the probe with every template of every named subject, and return the best subjects."""
        values = (self._tenant_id, gallery_id, collection_id, encode_embedding(probe), limit)
        return [Found(*row) for row in await self._connection.fetch(statements.NAMED_SUBJECTS, *values)]

    async def read_all_faces(self, gallery_id: UUID) -> dict[UUID, GalleryFace]:
        """Return every face of a gallery."""
        rows = await self._connection.fetch(statements.ALL_FACES, self._tenant_id, gallery_id)
        return {row["id"]: GalleryFace(row["embedding"], row["is_reliable"]) for row in rows}

    async def read_faces_by_id(self, gallery_id: UUID, face_ids: Sequence[UUID]) -> dict[UUID, GalleryFace]:
        """Return the faces with these ids; erased ones are missing."""
        rows = await self._connection.fetch(statements.FACES_BY_ID, self._tenant_id, gallery_id, face_ids)
        return {row["id"]: GalleryFace(row["embedding"], row["is_reliable"]) for row in rows}

    async def find_similar(
        self, gallery_id: UUID, probe: Embedding, min_similarity: float, *, after: int
    ) -> dict[int, float]:
        """Return the similarities of all faces at or above a similarity, by the sequence numbers after `after`."""
        values = (self._tenant_id, gallery_id, after, encode_embedding(probe), min_similarity)
        return dict(await self._connection.fetch(statements.SIMILAR, *values))

    async def read_faces(self, gallery_id: UUID, seqs: Sequence[int]) -> dict[int, CollectionFace]:
        """Return stored faces by their templates' sequence numbers; deleted ones are missing."""
        rows = await self._connection.fetch(statements.FACES, self._tenant_id, gallery_id, seqs)
        return {
            row["seq"]: CollectionFace(
                row["id"],
                row["recognizer"],
                row["detection_score"],
                row["image_id"],
                row["external_image_id"],
                RelativeBox(*row["box"]) if row["box"] is not None else None,
                None if row["is_anonymous"] else row["subject"],
                row["is_reliable"],
            )
            for row in rows
        }

    async def read_embeddings(self, gallery_id: UUID, seqs: Sequence[int]) -> list[Embedding]:
        """Return stored embeddings to measure recall with: for each sequence number the first at or after it."""
        rows = await self._connection.fetch(statements.SAMPLE, self._tenant_id, gallery_id, list(seqs))
        return [row["embedding"] for row in rows]

    async def read_version(self, gallery_id: UUID) -> GalleryVersion | None:
        """Return the gallery's version in this snapshot; None if the gallery was deleted."""
        row = await self._connection.fetchrow(statements.VERSION, self._tenant_id, gallery_id)
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
        """Return (seq, code) of every template after a sequence number, ascending, in the format of a binary COPY."""
        return await self._copy(statements.ALL_CODES, gallery_id, after)

    async def copy_templates(self, gallery_id: UUID, *, after: int) -> bytes:
        """Return (seq, subject id, embedding, is reliable) of all templates after a sequence number, likewise."""
        return await self._copy(statements.ALL_TEMPLATES, gallery_id, after)

    async def _copy(self, query: str, gallery_id: UUID, after: int) -> bytes:
        chunks: list[bytes] = []

        async def append(chunk: bytes) -> None:
            chunks.append(chunk)

        await self._connection.copy_from_query(
            query, self._tenant_id, gallery_id, after, output=append, format="binary"
        )
        return b"".join(chunks)


class RankedStatements(Generic[K]):
    """Ranks one tenant's gallery by subject or by face, within one database snapshot.

    Each method returns the `limit` best keys of each probe, best first; fewer where the compared templates belong to
    fewer subjects. `deep` and `complete` also decide ties at the limit: by the subject's external id, or by the face's
    sequence number.
    """

    def __init__(self, connection: Connection, tenant_id: UUID, ranking: Ranking[K]) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._ranking = ranking

    async def exact(
        self, facts: GalleryFacts, probes: Sequence[Embedding], limit: int, depth: int
    ) -> list[list[Found[K]]]:
        """Compare every template, and rank the `depth` most similar ones."""
        statement = self._ranking.exact if facts.last_seq <= MAX_COVERED_SEQ else self._ranking.exact_uncovered
        return await self._ranked(statement, facts.id, probes, limit, depth)

    async def codes(
        self, gallery_id: UUID, probes: Sequence[Embedding], limit: int, depth: int
    ) -> list[list[Found[K]]]:
        """Compare every code, and rank the `depth` templates with the nearest codes by their embeddings."""
        return await self._ranked(self._ranking.codes, gallery_id, probes, limit, depth)

    async def cached_codes(
        self,
        gallery_id: UUID,
        probes: Sequence[Embedding],
        limit: int,
        nearest: Sequence[Sequence[int]],
        through_seq: int,
    ) -> list[list[Found[K]]]:
        """Rank each probe's `nearest` templates, given by sequence number, and all templates after `through_seq`."""
        first: list[int] = []
        last: list[int] = []
        seqs: list[int] = []
        for nearest_seqs in nearest:
            first.append(len(seqs) + 1)
            seqs.extend(nearest_seqs)
            last.append(len(seqs))
        return await self._ranked(self._ranking.cached_codes, gallery_id, probes, limit, through_seq, first, last, seqs)

    async def graph(
        self, gallery_id: UUID, probes: Sequence[Embedding], limit: int, graph: Graph, depth: int
    ) -> list[list[Found[K]]]:
        """Rank `depth` templates found by the graph, and of the newer ones the `depth` with the nearest codes."""
        await self._connection.execute(GRAPH_SETTINGS.format(breadth=depth))
        statement = self._ranking.graph.format(
            condition=graph_condition(gallery_id, graph.through_seq), through_seq=f"{graph.through_seq:d}"
        )
        found = await self._ranked(statement, gallery_id, probes, limit, depth)
        await self._connection.execute("SELECT set_config('enable_sort', 'on', true)")
        return found

    async def deep(self, gallery_id: UUID, probes: Sequence[Embedding], limit: int, depth: int) -> list[list[Found[K]]]:
        """Rank the `depth` templates with the nearest codes and those tied with the last, and decide ties."""
        return await self._ranked(self._ranking.deep, gallery_id, probes, limit, depth)

    async def complete(self, gallery_id: UUID, probes: Sequence[Embedding], limit: int) -> list[list[Found[K]]]:
        """Compare and rank every template, and decide ties."""
        return await self._ranked(self._ranking.complete, gallery_id, probes, limit)

    async def _ranked(
        self, statement: str, gallery_id: UUID, probes: Sequence[Embedding], limit: int, *more: object
    ) -> list[list[Found[K]]]:
        encoded = [encode_embedding(probe) for probe in probes]
        rows = await self._connection.fetch(statement, self._tenant_id, gallery_id, encoded, limit, *more)
        ranked: list[list[Found[K]]] = [[] for _ in probes]
        for ordinal, key, similarity, seq in rows:
            ranked[ordinal - 1].append(Found(key, similarity, seq))
        return ranked


def describe_match(
    face_id: UUID, image_id: UUID | None, external_image_id: str | None, box: Sequence[float] | None
) -> MatchedFace:
    """Build a matched face from the columns of its template."""
    return MatchedFace(face_id, FaceOrigin(image_id, RelativeBox(*box) if box else None, external_image_id))


def _require_in_use(row: Any, gallery: Gallery) -> None:
    if row is not None and row["in_use"] not in (None, gallery.recognizer):
        raise RecognizerChanged
