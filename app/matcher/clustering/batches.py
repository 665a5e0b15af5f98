"""Add and move many faces at once, and tell what must be stored afterwards."""

from uuid import UUID

from app.matcher.clustering.online import OnlineClusters
from app.matcher.clustering.records import UnknownFace


def add_all(clusters: OnlineClusters, faces: list[UnknownFace]) -> tuple[dict[UUID, UUID], dict[UUID, UUID]]:
    """Add faces; return the cluster of each in the end, and the stored clusters that were merged into others."""
    before = set(clusters)
    joined: list[UUID] = []
    merged: dict[UUID, UUID] = {}
    for face in faces:
        change = clusters.add(face)
        joined.append(face.id)
        for gone in change.merged:
            merged[gone] = change.joined
    final = {face_id: cluster_id for face_id in joined if (cluster_id := clusters.find_cluster(face_id)) is not None}
    return final, {gone: _follow(merged, gone) for gone in merged if gone in before}


def move_misplaced(clusters: OnlineClusters, faces: list[UnknownFace]) -> tuple[dict[UUID, UUID], dict[UUID, UUID]]:
    """Move faces whose clusters do not suit them, the least suited first; return the same as `add_all`."""
    joined, merged = dict[UUID, UUID](), dict[UUID, UUID]()
    for face in sorted(faces, key=clusters.link):
        if clusters.is_misplaced(face):
            clusters.remove(face)
            moved, gone = add_all(clusters, [face])
            joined |= moved
            merged |= gone
    final = {face_id: clusters.find_cluster(face_id) or cluster_id for face_id, cluster_id in joined.items()}
    return final, {gone: _follow(merged, gone) for gone in merged}


def _follow(merged: dict[UUID, UUID], gone: UUID) -> UUID:
    while gone in merged:
        gone = merged[gone]
    return gone
