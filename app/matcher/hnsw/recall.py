"""How much a strategy loses: its answers beside those of the exact search, on probes made from what is stored."""

from dataclasses import dataclass

import numpy as np

from app.domain.faces import EMBEDDING_SIZE, Embedding
from app.matcher.search import Gallery
from app.matcher.strategy import Strategy
from app.matcher.tenant_search import TenantSearch

MATE_FROM = 0.4
"""From this similarity on a candidate of the exact search counts as a match that must not be lost."""
_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Recall:
    """What came back of what exact search finds: matches (similarity 0.4 or more) and rows."""

    strategy: Strategy
    probes: int
    matches: int
    matches_returned: int
    rows: int
    rows_returned: int

    @property
    def value(self) -> float:
        """The part of the matches that was returned, 0..1; 1 if there was none to return."""
        return self.matches_returned / self.matches if self.matches else 1.0

    def is_good(self, min_recall: float) -> bool:
        """Whether it returned at least this part of the matches, and every row."""
        return self.value >= min_recall and self.is_complete

    @property
    def is_complete(self) -> bool:
        """Whether each search returned as many rows as the exact one."""
        return self.rows == self.rows_returned


async def measure_recall(search: TenantSearch, gallery: Gallery, strategy: Strategy, probes: list[Embedding]) -> Recall:
    """Both searches on each probe; the exact one takes the time that comparing the whole gallery takes."""
    matches = matches_returned = rows = rows_returned = 0
    for probe in probes:
        (exact,), _ = await search.identify_in_database(gallery, [probe], _LIMIT, using=Strategy.EXACT)
        (found,), _ = await search.identify_in_database(gallery, [probe], _LIMIT, using=strategy)
        wanted = {candidate.subject for candidate in exact if candidate.similarity >= MATE_FROM}
        matches += len(wanted)
        matches_returned += len(wanted & {candidate.subject for candidate in found})
        rows += len(exact)
        rows_returned += len(found)
    return Recall(strategy, len(probes), matches, matches_returned, rows, rows_returned)


def mates_of(embeddings: list[Embedding], rng: np.random.Generator) -> list[Embedding]:
    """For each stored embedding another of the same person: at a cosine between 0.4 and 0.75.

    In a direction that faces differ in: a random mixture of all of them.
    """
    if not embeddings:
        return []
    mates, stacked = [], np.stack(embeddings)
    for embedding in embeddings:
        direction = rng.standard_normal(len(stacked)) @ stacked + 1e-3 * rng.standard_normal(EMBEDDING_SIZE)
        direction -= (direction @ embedding) * embedding
        cosine = rng.uniform(MATE_FROM, 0.75)
        mate = cosine * embedding + np.sqrt(1 - cosine**2) * direction / np.linalg.norm(direction)
        mates.append(np.asarray(mate / np.linalg.norm(mate), dtype=np.float32))
    return mates
