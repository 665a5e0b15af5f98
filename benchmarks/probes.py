"""Search for mates of stored faces, and count the times and the results."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding
from benchmarks.face_embeddings import Embeddings, FaceLike
from benchmarks.galleries import Stored
from benchmarks.reference_design import true_ranks
from benchmarks.serving import percentile

LIMIT = 10
"""Candidates per search."""
IN_FLIGHT = os.cpu_count() or 1

Search = Callable[[Embedding], Awaitable[Sequence[str]]]
Rows = NDArray[np.int64]


@dataclass
class Tally:
    """The times and results of several searches."""

    times: list[float] = field(default_factory=list)
    true: list[bool] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    returned: list[bool] = field(default_factory=list)
    rows: list[bool] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add the searches of another tally."""
        for name in ("times", "true", "cosines", "returned", "rows"):
            getattr(self, name).extend(getattr(other, name))

    def describe(self) -> dict[str, Any]:
        """Return times in ms, the shares of true mates returned, and the share of searches with all rows."""
        result: dict[str, Any] = {
            "searches": len(self.times),
            "p50_ms": round(percentile(self.times, 0.5) * 1000, 2),
            "p95_ms": round(percentile(self.times, 0.95) * 1000, 2),
        }
        for name, low in (("mates_0.4", 0.4), ("mates_0.3", 0.3)):
            counted = [
                is_returned
                for is_returned, true, cosine in zip(self.returned, self.true, self.cosines, strict=True)
                if true and cosine >= low
            ]
            result[name] = round(sum(counted) / len(counted), 5) if counted else None
            result[f"{name}_of"] = len(counted)
        result["all_rows"] = round(sum(self.rows) / len(self.rows), 5)
        return result


@dataclass
class Probes:
    """Mates of stored faces, the subject of each, and whether exact search ranks it among the first ten."""

    embeddings: Embeddings
    cosines: list[float]
    subjects: list[str]
    true: list[bool]

    @classmethod
    def of_rows(cls, stored: Stored, rows: Rows, embeddings: Embeddings, cosines: NDArray[np.float32]) -> "Probes":
        """Take embeddings as mates of the stored embeddings of these rows, with their cosines."""
        ranks = true_ranks(stored.embeddings, embeddings, LIMIT)
        return cls(
            embeddings,
            cosines.tolist(),
            [stored.subjects[row] for row in rows],
            [int(row) in best for row, best in zip(rows, ranks, strict=True)],
        )

    @classmethod
    def make(cls, stored: Stored, count: int, source: FaceLike) -> "Probes":
        """Draw mates of `count` random stored faces."""
        rows = source.rng.integers(stored.size, size=count)
        return cls.of_rows(stored, rows, *source.mates(stored.embeddings[rows]))


async def ask(search: Search, probes: Probes, size: int, *, in_flight: int = IN_FLIGHT) -> Tally:
    """Search for every probe once, `in_flight` at a time."""
    tally, remaining = Tally(), iter(range(len(probes.subjects)))

    async def work() -> None:
        for index in remaining:
            started = time.perf_counter()
            found = await search(probes.embeddings[index])
            tally.times.append(time.perf_counter() - started)
            tally.true.append(probes.true[index])
            tally.cosines.append(probes.cosines[index])
            tally.returned.append(probes.subjects[index] in found)
            tally.rows.append(len(found) == min(LIMIT, size))

    await asyncio.gather(*(work() for _ in range(in_flight)))
    return tally
