"""Time the addition of faces to large sets of clusters.

People are synthetic, around real embeddings: each is a mix of a real embedding and a random direction (cosine 0.7), and
its faces have cosines of 0.6 to 0.85 with it. A person has k faces with a probability in proportion to k^-2, at most
1,000: 61% have one, the mean is 4.5. All faces of a person are loaded as one cluster, as after long use. In the worst
case, each face is a cluster of its own.
"""

import os
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import psutil
from numpy.typing import NDArray

from app.matcher.clustering.online import OnlineClusters
from app.matcher.clustering.records import ClusterState, UnknownFace
from benchmarks.face_embeddings import Embeddings, FaceLike, unit
from benchmarks.serving import percentile

ADDED, NEW_SHARE = 400, 0.3
MAX_SIZE = 1_000
LOW, HIGH = 0.6, 0.85
_PEOPLE_AT_ONCE = 2_000
_PHOTOS = 1 << 64
"""Ids of photos begin here, those of clusters at twice as much."""


class Crowd:
    """Draws people around real embeddings, and faces of them."""

    def __init__(self, real: Embeddings, seed: int = 1) -> None:
        self._real = real
        self._faces = FaceLike(seed)
        self.rng = np.random.default_rng(seed)

    def draw_people(self, count: int) -> Embeddings:
        return unit(self._real[self.rng.integers(len(self._real), size=count)] + self._faces.draw(count))

    def draw_faces(self, people: Embeddings) -> Embeddings:
        return self._faces.mates(people, LOW, HIGH)[0]

    def draw_sizes(self, faces: int) -> NDArray[np.int64]:
        """Return the numbers of faces of people who have this many together."""
        weights = 1.0 / np.arange(1, MAX_SIZE + 1) ** 2
        sizes = self.rng.choice(np.arange(1, MAX_SIZE + 1), faces, p=weights / weights.sum())
        sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), faces)) + 1]
        sizes[-1] -= sizes.sum() - faces
        return np.asarray(sizes[sizes > 0])


def measure(crowd: Crowd, faces: int, threshold: float, *, are_alone: bool = False) -> dict[str, Any]:
    """Load clusters of this many faces, and time additions of faces of known and of new people."""
    sizes = np.ones(faces, np.int64) if are_alone else crowd.draw_sizes(faces)
    clusters = OnlineClusters(threshold)
    process = psutil.Process()
    before, started = process.memory_info().rss, time.perf_counter()
    known: list[tuple[Embeddings, NDArray[np.int64]]] = []
    for people, states in _draw_states(crowd, sizes):
        clusters.load(states)
        known.append((people, np.array([state.count for state in states])))
    took, memory = time.perf_counter() - started, process.memory_info().rss - before
    kept = np.concatenate([people[:: max(1, len(sizes) // 20_000)] for people, _ in known])
    weights = np.concatenate([counts[:: max(1, len(sizes) // 20_000)] for _, counts in known])
    return {
        "faces": faces,
        "clusters": len(sizes),
        "load_s": round(took, 1),
        "memory_mb": round(memory / 1e6),
        "bytes_per_face": round(memory / faces),
        **_time_additions(clusters, crowd, kept, weights / weights.sum()),
    }


def _draw_states(crowd: Crowd, sizes: NDArray[np.int64]) -> Iterator[tuple[Embeddings, list[ClusterState]]]:
    number = 0
    for start in range(0, len(sizes), _PEOPLE_AT_ONCE):
        part = sizes[start : start + _PEOPLE_AT_ONCE]
        people = crowd.draw_people(len(part))
        owners = np.repeat(np.arange(len(part)), part)
        embeddings = np.concatenate([crowd.draw_faces(people[rows]) for rows in np.array_split(owners, 4)])
        sums = np.add.reduceat(embeddings, np.cumsum(part) - part)
        states = []
        for index, size in enumerate(part.tolist()):
            faces = [UUID(int=number + one) for one in range(size)]
            photos = [UUID(int=_PHOTOS + number + one) for one in range(size)]
            states.append(ClusterState(UUID(int=2 * _PHOTOS + start + index), sums[index], size, photos, faces))
            number += size
        yield people, states


def _time_additions(
    clusters: OnlineClusters, crowd: Crowd, known: Embeddings, weights: NDArray[np.float64]
) -> dict[str, Any]:
    chosen = known[crowd.rng.choice(len(known), ADDED, p=weights)]
    is_new = crowd.rng.random(ADDED) < NEW_SHARE
    chosen[is_new] = crowd.draw_people(int(is_new.sum()))
    times, processor, joined, merged = [], [], 0, 0
    for index, embedding in enumerate(crowd.draw_faces(chosen)):
        face = UnknownFace(UUID(int=3 * _PHOTOS + index), embedding, UUID(int=4 * _PHOTOS + index), is_reliable=True)
        started, started_on_core = time.perf_counter(), time.thread_time()
        change = clusters.add(face)
        times.append((time.perf_counter() - started) * 1e3)
        processor.append((time.thread_time() - started_on_core) * 1e3)
        joined += not change.created
        merged += len(change.merged)
    return {
        "added": ADDED,
        "joined": joined,
        "merged": merged,
        "p50_ms": round(percentile(times, 0.5), 2),
        "p95_ms": round(percentile(times, 0.95), 2),
        "max_ms": round(max(times), 2),
        "processor_p95_ms": round(percentile(processor, 0.95), 2),
        "load_average": round(os.getloadavg()[0], 1),
    }
