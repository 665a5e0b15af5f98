"""Measures the recall of a strategy: its results against exact search, on probes derived from stored embeddings."""

from dataclasses import dataclass

import numpy as np

from app.domain.faces import EMBEDDING_SIZE, Embedding
from app.matcher.search import Gallery
from app.matcher.strategy import Strategy
from app.matcher.tenant_search import TenantSearch

MIN_MATE_SIMILARITY = 0.4
"""Candidates of the exact search at or above this similarity count as matches that must not be missed."""
_MAX_MATE_SIMILARITY = 0.75
_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Recall:
    """How many matches (similarity 0.4 or more) and rows exact search returns, and how many of them a strategy does."""

    strategy: Strategy
    probes: int
    matches: int
    matches_returned: int
    rows: int
    rows_returned: int

    @property
    def value(self) -> float:
        """The fraction of the matches that was returned, 0..1; 1 if there was none to return."""
        return self.matches_returned / self.matches if self.matches else 1.0

    def is_good(self, min_recall: float) -> bool:
        """Return whether at least this fraction of the matches, and every row, was returned."""
        return self.value >= min_recall and self.is_complete

    @property
    def is_complete(self) -> bool:
        """Whether the searches returned as many rows as the exact ones."""
        return self.rows == self.rows_returned


async def measure_recall(search: TenantSearch, gallery: Gallery, strategy: Strategy, probes: list[Embedding]) -> Recall:
    """Search each probe by the strategy and exactly; an exact search compares the whole gallery, so it takes long."""
    matches = matches_returned = rows = rows_returned = 0
    for probe in probes:
        (exact,) = (await search.identify_in_database(gallery, [probe], _LIMIT, using=Strategy.EXACT)).ranked
        (found,) = (await search.identify_in_database(gallery, [probe], _LIMIT, using=strategy)).ranked
        expected = {candidate.subject for candidate in exact if candidate.similarity >= MIN_MATE_SIMILARITY}
        matches += len(expected)
        matches_returned += len(expected & {candidate.subject for candidate in found})
        rows += len(exact)
        rows_returned += len(found)
    return Recall(strategy, len(probes), matches, matches_returned, rows, rows_returned)


def make_mates(embeddings: list[Embedding], rng: np.random.Generator) -> list[Embedding]:
    """Derive another embedding of the same person from each stored one, at a cosine between 0.4 and 0.75.

    The difference is a random mixture of all embeddings, so it lies in directions in which faces differ.
    """
    if not embeddings:
        return []
    mates, stacked = [], np.stack(embeddings)
    for embedding in embeddings:
        direction = rng.standard_normal(len(stacked)) @ stacked + 1e-3 * rng.standard_normal(EMBEDDING_SIZE)
        direction -= (direction @ embedding) * embedding
        cosine = rng.uniform(MIN_MATE_SIMILARITY, _MAX_MATE_SIMILARITY)
        mate = cosine * embedding + np.sqrt(1 - cosine**2) * direction / np.linalg.norm(direction)
        mates.append(np.asarray(mate / np.linalg.norm(mate), dtype=np.float32))
    return mates
