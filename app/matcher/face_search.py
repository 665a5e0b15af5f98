"""Searching for single faces, and for known subjects as a whole: with a least similarity, down to which all count.

The subjects' own search (`gallery_search.py`) knows no threshold and finds everybody; this one finds stored faces, and
subjects that somebody named.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from app.domain import Embedding, FaceCandidate, KnownCandidate
from app.matcher.found import K, OneFace, Person
from app.matcher.gallery_search import SearchEngine
from app.matcher.pgvector_search import BY_FACE, BY_SUBJECT, GalleryStatements, Ranking
from app.matcher.ranking import Ranker, as_stored
from app.matcher.search import Gallery
from app.matcher.similarity import clip_similarity, cosine_similarity
from app.matcher.strategy import GalleryFacts
from app.matcher.subject_similarity import common_embedding

_FIRST_LOOK = 100
"""Most searches find fewer above their threshold; only where so many are, the rest is looked for."""

_MOST_SUBJECTS, _MOST_KNOWN = 1_000, 2_000
_COHERENCE = 0.7
"""The photos of one person resemble their mean by about this much or more: someone whose mean is similar to a probe by
s has a photo that is similar by 0.7 s."""


class FaceSearch:
    """Searches one tenant's galleries, each search in one snapshot of the database."""

    def __init__(self, engine: SearchEngine, tenant_id: UUID) -> None:
        self._engine = engine
        self._tenant_id = tenant_id

    async def faces_like(self, gallery: Gallery, probe: Embedding, limit: int, least: float) -> list[FaceCandidate]:
        """The stored faces whose similarity with the probe is `least` or more, best first, at most `limit`."""
        async with self._opened(gallery) as opened:
            if opened is None:
                return []
            return await opened.faces(await opened.protected(probe), limit, least)

    async def faces_like_stored(
        self, gallery: Gallery, face_id: UUID, limit: int, least: float
    ) -> list[FaceCandidate] | None:
        """The same for a stored face, without itself; None if the gallery has no such face."""
        async with self._opened(gallery) as opened:
            stored = await opened.read_face(face_id) if opened is not None else None
            if opened is None or stored is None:
                return None
            return await opened.faces(stored.embedding, limit, least, but=stored.place)

    async def known_like(self, gallery: Gallery, probe: Embedding, limit: int, least: float) -> list[KnownCandidate]:
        """The known subjects whose faces as a whole resemble the probe by `least` or more, best first."""
        async with self._opened(gallery) as opened:
            if opened is None:
                return []
            return await opened.known(await opened.protected(probe), limit, least)

    async def known_like_stored(
        self, gallery: Gallery, face_id: UUID, limit: int, least: float
    ) -> list[KnownCandidate] | None:
        """The same for a stored face; None if the gallery has no such face."""
        async with self._opened(gallery) as opened:
            stored = await opened.read_face(face_id) if opened is not None else None
            if opened is None or stored is None:
                return None
            return await opened.known(stored.embedding, limit, least)

    async def known_like_subject(
        self, gallery: Gallery, subject_id: UUID, limit: int, least: float
    ) -> list[KnownCandidate]:
        """The same for what a subject's faces have in common, without the subject; nobody if it has no faces."""
        async with self._opened(gallery) as opened:
            whole = await opened.read_whole(subject_id) if opened is not None else None
            if opened is None or whole is None:
                return []
            return await opened.known(whole, limit, least, but=subject_id)

    @asynccontextmanager
    async def _opened(self, gallery: Gallery) -> AsyncIterator["_OpenedGallery | None"]:
        async with self._engine.pool.snapshot(self._tenant_id) as connection:
            statements = GalleryStatements(connection, self._tenant_id)
            facts = await statements.read_facts(gallery)
            yield (
                _OpenedGallery(self._engine, self._tenant_id, statements, facts, gallery.collection_id)
                if facts is not None
                else None
            )


class _OpenedGallery:
    """A gallery in one snapshot."""

    def __init__(
        self, engine: SearchEngine, tenant_id: UUID, statements: GalleryStatements, facts: GalleryFacts,
        collection_id: UUID,
    ) -> None:  # fmt: skip
        self._collection_id = collection_id
        self._engine = engine
        self._tenant_id = tenant_id
        self._statements = statements
        self._facts = facts

    async def protected(self, probe: Embedding) -> Embedding:
        """The probe as what it is compared with is stored."""
        (turned,) = await self._engine.protector.protect(self._tenant_id, self._facts.protection, [probe])
        return turned

    async def read_face(self, face_id: UUID) -> OneFace | None:
        """A stored face."""
        return await self._statements.read_face(self._facts.id, face_id)

    async def read_whole(self, subject_id: UUID) -> Embedding | None:
        """What a subject's faces have in common; None without any."""
        people = await self._statements.read_people(self._facts.id, [subject_id])
        return common_embedding(people[subject_id].embeddings) if people else None

    async def faces(self, probe: Embedding, limit: int, least: float, *, but: int | None = None) -> list[FaceCandidate]:
        """The faces down to `least`, without the one at the place `but`."""
        (probe,) = as_stored([probe])
        ranker = self._ranker(BY_FACE)
        wanted, most = min(limit, _FIRST_LOOK) + 2, limit + 2  # one for a tie, one for who is left out
        while True:
            (found,) = await ranker.best([probe], wanted)
            if wanted >= most or len(found) < wanted or min(one.similarity for one in found) < least:
                break
            wanted = most
        similar = sorted((one for one in found if one.similarity >= least and one.key != but), key=_best_first)[:limit]
        faces = await self._statements.read_faces(self._facts.id, [one.key for one in similar])
        return [FaceCandidate(faces[one.key], clip_similarity(one.similarity)) for one in similar]

    async def known(
        self, probe: Embedding, limit: int, least: float, *, but: UUID | None = None
    ) -> list[KnownCandidate]:
        """The known subjects down to `least`, without the subject `but`."""
        (probe,) = as_stored([probe])
        people = await self._people_like(probe, least)
        candidates = [
            KnownCandidate(person.subject, cosine_similarity(probe, common_embedding(person.embeddings)))
            for subject_id, person in people.items()
            if subject_id != but and not person.is_anonymous
        ]
        similar = [one for one in candidates if one.similarity >= least]
        return sorted(similar, key=lambda one: (-one.similarity, one.subject))[:limit]

    async def _people_like(self, probe: Embedding, least: float) -> dict[UUID, Person]:
        """Everybody who may be similar by `least` as a whole, and others.

        Usually those with the nearest faces tell; where too many faces of nobody known stand among them, all who are
        known are compared.
        """
        ranker, wanted = self._ranker(BY_SUBJECT), _FIRST_LOOK
        while wanted <= _MOST_SUBJECTS:
            (found,) = await ranker.best([probe], wanted)
            if len(found) < wanted or min(one.similarity for one in found) < _COHERENCE * least:
                break
            wanted *= 3
        else:
            found = await self._statements.known_subjects(self._facts.id, self._collection_id, probe, _MOST_KNOWN)
        return await self._statements.read_people(self._facts.id, [one.key for one in found])

    def _ranker(self, ranking: Ranking[K]) -> Ranker[K]:
        engine = self._engine
        return Ranker(
            self._statements, self._facts, ranking, tenant_id=self._tenant_id, cache=engine.cache, limits=engine.limits
        )  # fmt: skip


def _best_first(found: "tuple[int, float]") -> tuple[float, int]:
    place, similarity = found
    return -similarity, place
