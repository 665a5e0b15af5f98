"""One HNSW graph: which rows it holds, and the PostgreSQL settings under which a search walks it."""

from dataclasses import dataclass
from uuid import UUID

GRAPH_SETTINGS = """
SELECT set_config('hnsw.ef_search', '{breadth}', true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
       set_config('enable_sort', 'off', true)  -- else a large LIMIT makes the planner prefer the complete scan
"""

_MIN_BREADTH, _MAX_BREADTH = 400, 1_000
"""Of a walk (`hnsw.ef_search`); pgvector allows at most 1,000."""


@dataclass(frozen=True, slots=True)
class Graph:
    """An HNSW index over a gallery's places up to `upto`; not trusted if it lost too many matches."""

    name: str
    upto: int
    is_trusted: bool


def graph_condition(gallery_id: UUID, upto: int) -> str:
    """Which rows a graph holds; the index and the search must state it in the same words."""
    return f"gallery_id = '{gallery_id}' AND seq <= {upto:d}"


def walk_breadth(templates: int) -> int:
    """How many templates a walk examines to find this many of the nearest."""
    return min(max(_MIN_BREADTH, templates), _MAX_BREADTH)
