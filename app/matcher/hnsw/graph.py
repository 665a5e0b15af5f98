"""One HNSW graph: which rows it contains, and the PostgreSQL settings under which a search walks it."""

from dataclasses import dataclass
from uuid import UUID

GRAPH_SETTINGS = """
SELECT set_config('hnsw.ef_search', '{breadth}', true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
       set_config('enable_sort', 'off', true)  -- else a large LIMIT makes the planner prefer the complete scan
"""

_MIN_BREADTH, _MAX_BREADTH = 400, 1_000
"""Bounds of `hnsw.ef_search`; pgvector allows at most 1,000."""


@dataclass(frozen=True, slots=True)
class Graph:
    """An HNSW index over a gallery's templates up to the sequence number `through_seq`.

    `is_trusted` is False until the recall monitor has checked the graph, and if it missed too many matches.
    """

    name: str
    through_seq: int
    is_trusted: bool


def graph_condition(gallery_id: UUID, through_seq: int) -> str:
    """Return the condition of the rows in a graph; the index and the search must state it in the same words."""
    return f"gallery_id = '{gallery_id}' AND seq <= {through_seq:d}"


def walk_breadth(templates: int) -> int:
    """Return how many templates a walk examines (`hnsw.ef_search`) to return this many of the nearest."""
    return min(max(_MIN_BREADTH, templates), _MAX_BREADTH)
