"""What clusters of unknown faces are made of, and what changes in them."""

from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding


@dataclass(frozen=True, slots=True)
class UnknownFace:
    """A face of nobody registered, in a photo.

    `embedding` is a unit vector (512,). Unreliable faces never decide: they may join a cluster, but not change its sum.
    """

    id: UUID
    embedding: Embedding = field(repr=False)
    photo_id: UUID
    is_reliable: bool
    rank: float = 1
    """How well the face represents its cluster, for callers that pick a picture; clustering does not use it."""


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A cluster as it is stored.

    `sum` (512,) float32 is the sum of the unit embeddings of its `count` reliable faces; zeros if it has none. `photos`
    and `faces` include those of unreliable faces.
    """

    id: UUID
    sum: NDArray[np.float32] = field(repr=False)
    count: int
    photos: Collection[UUID]
    faces: Collection[UUID]


@dataclass(frozen=True, slots=True)
class Change:
    """The cluster that a face or another cluster joined, whether it is new, and the clusters merged into it."""

    joined: UUID
    created: bool = False
    merged: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge by a person: the change, and the pair of faces that must now stay together."""

    change: Change
    required: tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class Separation:
    """A split by a person: the cluster of each group, and the pairs of faces that must now stay apart."""

    clusters: tuple[UUID, ...]
    forbidden: tuple[tuple[UUID, UUID], ...]


class ConstraintConflict(Exception):
    """What a person asks for contradicts what was said before, or puts two faces of one photo into one cluster.

    `pairs` are the pairs of faces that stand against it, `photos` the photos with a face on both sides.
    """

    def __init__(
        self, message: str, *, pairs: tuple[tuple[UUID, UUID], ...] = (), photos: tuple[UUID, ...] = ()
    ) -> None:
        super().__init__(message)
        self.pairs = pairs
        self.photos = photos
