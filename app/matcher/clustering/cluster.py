"""One cluster in memory. Its faces and photos take few bytes: a worker keeps the clusters of many faces for minutes."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from app.matcher.clustering.records import UnknownFace

MAX_UNRELIABLE = 3
"""Unreliable faces per reliable one that may join a cluster: bad photos of strangers resemble each other."""
_WIDTH = 16
_FEW = 8
"""So many ids are looked up one by one."""


class PackedIds:
    """A set of UUIDs at 16 bytes each, a fifth of what a set takes. The caller adds none twice."""

    __slots__ = ("_data",)

    def __init__(self, ids: Iterable[UUID] = ()) -> None:
        self._data = bytearray().join(one.bytes for one in ids)

    def __len__(self) -> int:
        return len(self._data) // _WIDTH

    def __contains__(self, one: UUID) -> bool:
        return self._find(one.bytes) >= 0

    def __iter__(self) -> Iterator[UUID]:
        return (UUID(bytes=one) for one in self._split())

    def add(self, one: UUID) -> None:
        self._data += one.bytes

    def update(self, others: "PackedIds") -> None:
        """Add all of the others, none of which may be here."""
        self._data += others._data

    def discard(self, one: UUID) -> None:
        place = self._find(one.bytes)
        if place >= 0:
            del self._data[place : place + _WIDTH]

    def isdisjoint(self, others: "PackedIds") -> bool:
        few, many = sorted((self, others), key=len)
        if len(few) <= _FEW:
            return all(many._find(one) < 0 for one in few._split())
        return set(few._split()).isdisjoint(many._split())

    def _find(self, one: bytes) -> int:
        """Return where an id begins; -1 if it is not here. Bytes of two neighbors may look like an id."""
        place = self._data.find(one)
        while place % _WIDTH and place >= 0:
            place = self._data.find(one, place + 1)
        return place

    def _split(self) -> Iterator[bytes]:
        data = bytes(self._data)
        return (data[place : place + _WIDTH] for place in range(0, len(data), _WIDTH))


class Cluster:
    """A cluster: its faces by their ids' numbers, its photos, and where its mean is."""

    __slots__ = ("constrained", "count", "faces", "id", "is_made", "photos", "row")

    def __init__(self, cluster_id: UUID) -> None:
        self.id = cluster_id
        self.faces: list[int] = []
        self.photos = PackedIds()
        self.constrained: frozenset[UUID] | set[UUID] = frozenset()
        """The faces with cannot-links."""
        self.is_made = False
        """Whether a person said of some of its faces that they belong together."""
        self.count = 0
        self.row: int | None = None
        """None without reliable faces: no scan finds the cluster."""

    def has_room(self, face: UnknownFace) -> bool:
        """Return whether a face is reliable, or the cluster's reliable faces support one more that is not."""
        return face.is_reliable or len(self.faces) - self.count < MAX_UNRELIABLE * self.count
