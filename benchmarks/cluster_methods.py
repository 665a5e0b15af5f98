"""Cluster faces by Vultus and by other methods, and rate the result.

- Chinese whispers: dlib's, on the graph of pairs that reach the threshold, weighted by cosine
- DBSCAN: scikit-learn's, with two faces per core point; faces without a cluster stay alone
- greedy centroids: each face joins the most similar mean direction that reaches the threshold, in order of arrival

Labels number the cluster of each face, from 0.
"""

from collections.abc import Callable
from uuid import UUID

import dlib
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from app.matcher.clustering.batches import add_all, move_misplaced
from app.matcher.clustering.online import OnlineClusters
from app.matcher.clustering.records import UnknownFace
from benchmarks.cluster_faces import Faces

Labels = NDArray[np.int64]
Method = Callable[[Faces, float], Labels]
_MOVED_AT_ONCE = 1_000
"""As many as a worker looks at."""


def to_face(faces: Faces, row: int) -> UnknownFace:
    """Return a row as an unknown face; its id is the row's number plus 1."""
    photo = UUID(int=int(faces.photos[row]) + 1)
    return UnknownFace(UUID(int=row + 1), faces.embeddings[row], photo, bool(faces.reliable[row]))


def read_labels(clusters: OnlineClusters, count: int) -> Labels:
    """Return the labels of faces made by `to_face`."""
    numbers: dict[UUID | None, int] = {}
    return np.array(
        [numbers.setdefault(clusters.find_cluster(UUID(int=row + 1)), len(numbers)) for row in range(count)]
    )


def cluster_online(faces: Faces, threshold: float) -> Labels:
    clusters = OnlineClusters(threshold)
    for row in range(len(faces)):
        clusters.add(to_face(faces, row))
    return read_labels(clusters, len(faces))


def cluster_online_and_move(faces: Faces, threshold: float) -> Labels:
    """Move misplaced faces after the last one, as a worker does when an album is quiet."""
    clusters = OnlineClusters(threshold)
    added = [to_face(faces, row) for row in range(len(faces))]
    add_all(clusters, added)
    added.sort(key=lambda face: clusters.find_cluster(face.id) or face.id)
    for start in range(0, len(added), _MOVED_AT_ONCE):
        move_misplaced(clusters, added[start : start + _MOVED_AT_ONCE])
    return read_labels(clusters, len(faces))


def cluster_online_without_quality(faces: Faces, threshold: float) -> Labels:
    """Treat every face as reliable, as the other methods do."""
    everything = Faces(faces.embeddings, faces.people, faces.photos, np.ones(len(faces), bool))
    return cluster_online(everything, threshold)


def cluster_by_chinese_whispers(faces: Faces, threshold: float) -> Labels:
    first, second = np.nonzero(np.triu(faces.embeddings @ faces.embeddings.T >= threshold, 1))
    weights = (faces.embeddings[first] * faces.embeddings[second]).sum(axis=1)
    alone = [(row, row, 0.0) for row in range(len(faces))]  # dlib knows only what has an edge
    return np.array(
        dlib.chinese_whispers([*zip(first.tolist(), second.tolist(), weights.tolist(), strict=True), *alone])
    )


def cluster_by_dbscan(faces: Faces, threshold: float) -> Labels:
    distances = np.clip(1 - faces.embeddings @ faces.embeddings.T, 0, 2)
    labels = np.array(DBSCAN(eps=1 - threshold, min_samples=2, metric="precomputed").fit_predict(distances), np.int64)
    noise = np.flatnonzero(labels < 0)
    labels[noise] = labels.max(initial=-1) + 1 + np.arange(len(noise))
    return labels


def cluster_by_greedy_centroids(faces: Faces, threshold: float) -> Labels:
    sums = np.zeros_like(faces.embeddings)
    directions = np.zeros_like(faces.embeddings)
    labels = np.zeros(len(faces), np.int64)
    used = 0
    for row, embedding in enumerate(faces.embeddings):
        cosines = directions[:used] @ embedding
        label = int(np.argmax(cosines)) if used else -1
        if label < 0 or cosines[label] < threshold:
            label, used = used, used + 1
        labels[row] = label
        sums[label] += embedding
        directions[label] = sums[label] / np.linalg.norm(sums[label])
    return labels


METHODS: dict[str, Method] = {
    "online average linkage": cluster_online,
    "the same, misplaced faces moved": cluster_online_and_move,
    "the same without quality": cluster_online_without_quality,
    "Chinese whispers (dlib)": cluster_by_chinese_whispers,
    "DBSCAN (scikit-learn)": cluster_by_dbscan,
    "greedy centroids": cluster_by_greedy_centroids,
}


def rate(labels: Labels, people: Labels) -> dict[str, float]:
    """Return BCubed precision, recall and F, the precision of pairs, and the most strangers of one cluster.

    The strangers of a cluster are the faces that do not show its most frequent person. Source of BCubed: Bagga and
    Baldwin, Entity-based cross-document coreferencing using the vector space model, 1998.
    """
    (label, person), shared = np.unique(np.stack([labels, people]), axis=1, return_counts=True)
    sizes, photos = np.bincount(labels), np.bincount(people)
    precision = float((shared**2 / sizes[label]).sum()) / len(labels)
    recall = float((shared**2 / photos[person]).sum()) / len(labels)
    pairs = int((sizes * (sizes - 1)).sum())
    largest = np.zeros(len(sizes), np.int64)
    np.maximum.at(largest, label, shared)
    return {
        "f": round(2 * precision * recall / (precision + recall), 5),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "pair_precision": round(float((shared * (shared - 1)).sum()) / pairs, 4) if pairs else 1.0,
        "strangers": int((sizes - largest).max()),
        "clusters": int((sizes > 0).sum()),
    }
