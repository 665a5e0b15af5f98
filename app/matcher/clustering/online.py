"""Average linkage, face by face.

Outside of an addition, no two clusters that may merge reach the threshold. A new face therefore only makes its cluster
merge with clusters that the face itself reaches: linkages of unions are averages of the linkages of their parts. So one
scan serves the face and all merges. Clusters that lost faces are exceptions: they are scanned when they change next.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from uuid import UUID, uuid4

import numpy as np

from app.domain.faces import EMBEDDING_SIZE
from app.matcher.clustering.cluster import Cluster, PackedIds
from app.matcher.clustering.constraints import Constraints
from app.matcher.clustering.means import ClusterMeans, Vector
from app.matcher.clustering.records import Change, ClusterState, ConstraintConflict, Merge, Separation, UnknownFace
from app.matcher.clustering.splitting import find_separators, split_faces

MIN_THRESHOLD = 0.1


class OnlineClusters:
    """Clusters of unknown faces by average linkage, with cannot-links and must-links; not thread-safe.

    `threshold` is the smallest mean cosine (0.1..1) at which faces or clusters belong together, see `pick_threshold`.
    A cluster has at most one face of each photo.
    """

    def __init__(self, threshold: float, make_id: Callable[[], UUID] = uuid4) -> None:
        if not MIN_THRESHOLD <= threshold <= 1:
            raise ValueError(f"threshold {threshold} is not within {MIN_THRESHOLD}..1")
        self.threshold = threshold
        self._make_id = make_id
        self._means = ClusterMeans()
        self._clusters: dict[UUID, Cluster] = {}
        self._by_row: dict[int, Cluster] = {}
        self._by_face: dict[int, Cluster] = {}
        """By the number of a face's id."""
        self._constraints = Constraints()
        self._shrunk: set[Cluster] = set()
        """Clusters that reach another one, since they lost a face or a cannot-link."""

    def __len__(self) -> int:
        return len(self._clusters)

    def __iter__(self) -> Iterator[UUID]:
        """Iterate over the ids of all clusters."""
        return iter(self._clusters)

    def count_faces(self) -> int:
        """Return how many faces were added and not removed."""
        return len(self._by_face)

    def find_cluster(self, face_id: UUID) -> UUID | None:
        """Return the cluster of a face; None if the face was not added."""
        cluster = self._find(face_id)
        return cluster.id if cluster else None

    def state(self, cluster_id: UUID) -> ClusterState:
        """Return a copy of a cluster. Raise `KeyError` for an unknown id."""
        cluster = self._clusters[cluster_id]
        total = np.zeros(EMBEDDING_SIZE, np.float32) if cluster.row is None else self._means.get_sum(cluster.row)
        return ClusterState(cluster.id, total, cluster.count, frozenset(cluster.photos), _name(cluster))

    def load(self, clusters: Iterable[ClusterState]) -> None:
        """Add stored clusters; nothing merges.

        They must come from the same threshold: after a change of it, add the faces again to a new object.
        """
        for state in clusters:
            if state.id in self._clusters:
                raise ValueError(f"cluster {state.id} is loaded already")
            cluster = self._create(state.id)
            cluster.photos = PackedIds(state.photos)
            for face_id in state.faces:
                self._place(cluster, face_id)
            self._add_to_sum(cluster, state.sum, state.count)

    # --- faces ----------------------------------------------------------------------------------------------------

    def add(self, face: UnknownFace) -> Change:
        """Add a face to the nearest cluster that may hold it, or to a new one; merge what then belongs together.

        Must-links come first, cannot-links and the face's photo exclude clusters. Unreliable faces cause no merge, and
        at most three per reliable face join. One without a cluster stays alone. Raise `ValueError` if the face was
        added before.
        """
        if face.id.int in self._by_face:
            raise ValueError(f"face {face.id} was added before")
        near = self._find_near(face.embedding)
        cluster, merged = self._join_required(face)
        if cluster is None:
            cluster = next((one for one in near if self._may_hold(one, face) and one.has_room(face)), None)
        created = cluster is None
        if cluster is None:
            cluster = self._create(self._make_id())
        self._place(cluster, face.id)
        cluster.photos.add(face.photo_id)
        if face.is_reliable:
            self._add_to_sum(cluster, face.embedding, 1)
            cluster, more = self._merge_near(cluster, near)
            merged += more
        return Change(cluster.id, created, tuple(merged))

    def remove(self, face: UnknownFace) -> UUID:
        """Remove a face, with the embedding and reliability it was added with; return the cluster that held it.

        What people said about the face stays, so that it may be added again: see `forget`. A cluster without faces
        disappears. Raise `KeyError` for an unknown face.
        """
        cluster = self._by_face.pop(face.id.int)
        cluster.faces.remove(face.id.int)
        cluster.photos.discard(face.photo_id)
        cluster.constrained = cluster.constrained - {face.id}
        if face.is_reliable:
            self._add_to_sum(cluster, -face.embedding, -1)
        if not cluster.faces:
            self._drop(cluster)
        self._note_shrunk(cluster)
        return cluster.id

    def link(self, face: UnknownFace) -> float:
        """Return a face's mean cosine with the other faces of its cluster; the threshold if there are none."""
        own = self._by_face[face.id.int]
        if not face.is_reliable or own.row is None or own.count == 1:
            return self.threshold
        return float((self._means.get_sum(own.row) - face.embedding) @ face.embedding) / (own.count - 1)

    def is_misplaced(self, face: UnknownFace) -> bool:
        """Return whether a face should be removed and added again: later faces have changed what clusters look like.

        That is so if a cluster that may hold it is nearer than the others of its own, or if these no longer reach the
        threshold. Unreliable faces stay, and so does everything in clusters with must-links.
        """
        own = self._by_face[face.id.int]
        if not face.is_reliable or own.is_made or own.count == 1 < len(own.faces):
            return False
        at_home = self.link(face)
        rows, linkages = self._means.find(face.embedding, max(at_home, self.threshold))
        near = (self._by_row[row] for row in rows[linkages > at_home].tolist())
        return at_home < self.threshold or any(one is not own and self._may_hold(one, face) for one in near)

    def _find_near(self, vector: Vector) -> list[Cluster]:
        """Return the clusters that a vector of length 1 or less reaches, best first."""
        rows, _ = self._means.find(vector, self.threshold)
        return [self._by_row[row] for row in rows.tolist()]

    def _note_shrunk(self, cluster: Cluster) -> None:
        """Note a cluster that now reaches another one, by a scan."""
        if cluster.row is None:
            return
        near = self._find_near(self._means.get_mean(cluster.row))
        if any(one is not cluster and self._may_merge(cluster, one) for one in near):
            self._shrunk.add(cluster)

    def _join_required(self, face: UnknownFace) -> tuple[Cluster | None, list[UUID]]:
        """Return the cluster that must-links demand, if it may hold the face, and the clusters merged into it."""
        cluster, merged = None, []
        for required in self._constraints.find_required(face.id) - {face.id}:
            other = self._find(required)
            if other is None or other is cluster or not self._may_hold(other, face):
                continue
            if cluster is None:
                cluster = other
            elif self._may_merge(cluster, other):
                self._absorb(cluster, other)
                merged.append(other.id)
        return cluster, merged

    def _may_hold(self, cluster: Cluster, face: UnknownFace) -> bool:
        if face.photo_id in cluster.photos:
            return False
        return all(self._find(other) is not cluster for other in self._constraints.get_forbidden(face.id))

    def _merge_near(self, cluster: Cluster, near: list[Cluster]) -> tuple[Cluster, list[UUID]]:
        """Merge a cluster with the best of these or of the shrunk ones while any reaches the threshold."""
        merged: list[UUID] = []
        while True:
            if cluster in self._shrunk and cluster.row is not None:
                near = near + self._find_near(self._means.get_mean(cluster.row))
                self._shrunk.discard(cluster)
            best = self._find_best(cluster, near)
            if best is None:
                return cluster, merged
            keep, gone = (cluster, best) if len(cluster.faces) > len(best.faces) else (best, cluster)
            self._absorb(keep, gone)
            merged.append(gone.id)
            cluster = keep

    def _find_best(self, cluster: Cluster, near: Iterable[Cluster]) -> Cluster | None:
        """Return the cluster with the highest linkage of at least the threshold among those that may merge with it."""
        others = [
            one for one in dict.fromkeys([*near, *self._shrunk]) if one is not cluster and one.id in self._clusters
        ]
        choices: list[Cluster] = [one for one in others if one.row is not None]
        if not choices or cluster.row is None:
            return None
        rows = np.array([one.row for one in choices], np.int64)
        linkages = self._means.multiply(rows, self._means.get_mean(cluster.row))
        for index in np.argsort(-linkages, kind="stable").tolist():
            if linkages[index] < self.threshold:
                break
            other: Cluster = choices[index]
            if self._may_merge(cluster, other):
                return other
        return None

    # --- what people say ------------------------------------------------------------------------------------------

    def merge(self, keep: UUID, gone: UUID) -> Merge:
        """Merge the second cluster into the first, and keep a face of each together from now on.

        Raise `ConstraintConflict` with the faces or photos that stand against it, `KeyError` for an unknown cluster.
        """
        first, second = self._clusters[keep], self._clusters[gone]
        if first is second:
            raise ValueError("a merge needs two different clusters")
        pair = (UUID(int=min(first.faces)), UUID(int=min(second.faces)))
        return Merge(self._require(*pair), pair)

    def forbid(self, face_a: UUID, face_b: UUID) -> None:
        """Keep two faces in different clusters from now on.

        Raise `ConstraintConflict` if must-links join them, or if they share a cluster: remove one first.
        """
        first, second = self._find(face_a), self._find(face_b)
        if first is not None and first is second:
            raise ConstraintConflict("one cluster holds both faces: remove one first", pairs=((face_a, face_b),))
        self._constraints.forbid(face_a, face_b)
        for face, cluster in ((face_a, first), (face_b, second)):
            if cluster is not None:
                cluster.constrained = cluster.constrained | {face}

    def require(self, face_a: UUID, face_b: UUID) -> Change | None:
        """Keep two faces in one cluster from now on; merge their clusters, if they have different ones.

        Raise `ConstraintConflict` with the faces or photos that stand against it.
        """
        first, second = self._find(face_a), self._find(face_b)
        if first is None or second is None or first is second:
            self._constraints.require(face_a, face_b)
            for cluster in filter(None, (first, second)):
                cluster.is_made = True
            return None
        return self._require(face_a, face_b)

    def _require(self, face_a: UUID, face_b: UUID) -> Change:
        first, second = self._by_face[face_a.int], self._by_face[face_b.int]
        self._check_merge(first, second)
        self._constraints.require(face_a, face_b)
        first.is_made = True
        self._absorb(first, second)
        return Change(first.id, merged=(second.id,))

    def release(self, face_a: UUID, face_b: UUID) -> None:
        """Drop what was said about two faces. Nothing moves; later additions may merge their clusters."""
        self._constraints.release(face_a, face_b)
        for face in (face_a, face_b):
            self._note_released(face)

    def forget(self, face_id: UUID) -> None:
        """Drop everything that was said about a face, for a face that is erased."""
        others = list(self._constraints.get_forbidden(face_id))
        self._constraints.forget(face_id)
        for face in (face_id, *others):
            self._note_released(face)

    def _note_released(self, face: UUID) -> None:
        cluster = self._find(face)
        if cluster is None or face not in cluster.constrained:
            return
        if not self._constraints.get_forbidden(face):
            cluster.constrained = cluster.constrained - {face}
        self._note_shrunk(cluster)

    def _check_merge(self, first: Cluster, second: Cluster) -> None:
        pairs, photos = self._find_conflicts(first, second), {*first.photos} & {*second.photos}
        if pairs:
            raise ConstraintConflict("cannot-links separate these clusters", pairs=pairs)
        if photos:
            raise ConstraintConflict("a photo has faces in both clusters", photos=tuple(sorted(photos)))

    def _may_merge(self, first: Cluster, second: Cluster) -> bool:
        return first.photos.isdisjoint(second.photos) and not self._find_conflicts(first, second)

    def _find_conflicts(self, first: Cluster, second: Cluster) -> tuple[tuple[UUID, UUID], ...]:
        """Return the cannot-links between two clusters, read from the cluster with fewer constrained faces."""
        if len(second.constrained) < len(first.constrained):
            return tuple((face, other) for other, face in self._find_conflicts(second, first))
        return tuple(
            (face, other)
            for face in first.constrained
            for other in self._constraints.get_forbidden(face)
            if self._find(other) is second
        )

    # --- splits ---------------------------------------------------------------------------------------------------

    def split(
        self, cluster_id: UUID, embeddings: Iterable[UnknownFace], threshold: float | None = None
    ) -> list[list[UUID]]:
        """Propose groups of one cluster's faces, largest first; change nothing (see `separate`).

        `embeddings` are all faces of the cluster. Faces belong together by average linkage at `threshold`; without one,
        two groups remain, or more where cannot-links demand it. Must-links hold. Raise `ValueError` for other faces.
        """
        faces = list(embeddings)
        if {face.id for face in faces} != _name(self._clusters[cluster_id]):
            raise ValueError("a split needs exactly the faces of the cluster")
        return split_faces(faces, self._constraints, threshold)

    def separate(self, cluster_id: UUID, groups: Sequence[Sequence[UnknownFace]]) -> Separation:
        """Replace a cluster by groups of its faces, and keep a face of each apart from now on.

        The first group keeps the cluster's id. Raise `ConstraintConflict` if must-links join two groups, `ValueError`
        unless the groups are the cluster's faces.
        """
        cluster = self._clusters[cluster_id]
        faces = [face.id for group in groups for face in group]
        if len(faces) != len(cluster.faces) or set(faces) != _name(cluster) or not all(groups):
            raise ValueError("a split needs exactly the faces of the cluster")
        apart = find_separators([{face.id for face in group} for group in groups], self._constraints)
        self._drop(cluster)
        for face_id in faces:
            del self._by_face[face_id.int]
        made = [self._create(cluster_id if index == 0 else self._make_id()) for index in range(len(groups))]
        for group, new in zip(groups, made, strict=True):
            self._fill(new, group)
        for first, second in apart:
            self.forbid(first, second)
        for new in made:
            self._note_shrunk(new)
        return Separation(tuple(new.id for new in made), apart)

    def _fill(self, cluster: Cluster, faces: Sequence[UnknownFace]) -> None:
        for face in faces:
            self._place(cluster, face.id)
            cluster.photos.add(face.photo_id)
        reliable = [face.embedding for face in faces if face.is_reliable]
        if reliable:
            self._add_to_sum(cluster, np.stack(reliable).sum(axis=0), len(reliable))

    # --- parts ----------------------------------------------------------------------------------------------------

    def _find(self, face_id: UUID) -> Cluster | None:
        return self._by_face.get(face_id.int)

    def _create(self, cluster_id: UUID) -> Cluster:
        cluster = self._clusters[cluster_id] = Cluster(cluster_id)
        return cluster

    def _place(self, cluster: Cluster, face_id: UUID) -> None:
        number = face_id.int
        cluster.faces.append(number)
        self._by_face[number] = cluster
        cluster.is_made = cluster.is_made or self._constraints.has_required(face_id)
        if self._constraints.get_forbidden(face_id):
            cluster.constrained = cluster.constrained | {face_id}

    def _add_to_sum(self, cluster: Cluster, total: Vector, count: int) -> None:
        """Change a cluster's sum (512,) and count, which may be negative."""
        cluster.count += count
        if cluster.row is None:
            if cluster.count:
                cluster.row = self._means.add(total, cluster.count)
                self._by_row[cluster.row] = cluster
        elif cluster.count:
            self._means.write(cluster.row, self._means.get_sum(cluster.row) + total, cluster.count)
        else:
            self._remove_row(cluster)

    def _absorb(self, keep: Cluster, gone: Cluster) -> None:
        for number in gone.faces:
            self._by_face[number] = keep
        keep.faces += gone.faces
        keep.photos.update(gone.photos)
        keep.is_made = keep.is_made or gone.is_made
        keep.constrained = keep.constrained | gone.constrained
        was_shrunk = gone in self._shrunk
        if gone.row is not None:
            self._add_to_sum(keep, self._means.get_sum(gone.row), gone.count)
        self._drop(gone)
        if was_shrunk:
            self._shrunk.add(keep)

    def _drop(self, cluster: Cluster) -> None:
        self._remove_row(cluster)
        del self._clusters[cluster.id]

    def _remove_row(self, cluster: Cluster) -> None:
        self._shrunk.discard(cluster)
        if cluster.row is not None:
            self._means.remove(cluster.row)
            del self._by_row[cluster.row]
            cluster.row = None


def _name(cluster: Cluster) -> frozenset[UUID]:
    return frozenset(UUID(int=number) for number in cluster.faces)
