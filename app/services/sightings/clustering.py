"""Keep the clusters of albums' unknown faces: take in new faces, and let those go that are known by now.

Once an album is quiet, faces whose cluster no longer suits them move to another one: which clusters the first faces
find depends on the order of arrival.

A worker keeps an album's clusters in memory. Every change counts the album's version: a worker that finds another
version, or a gallery that has lost templates, reads the clusters again from the faces.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from app.domain.faces import EMBEDDING_SIZE
from app.errors import AppError
from app.matcher.clustering.batches import add_all, move_misplaced
from app.matcher.clustering.online import OnlineClusters
from app.matcher.clustering.records import ClusterState, ConstraintConflict, UnknownFace
from app.matcher.clustering.threshold import pick_threshold
from app.matcher.engine import SearchEngine
from app.matcher.pgvector_search import GalleryFace, GalleryStatements
from app.matcher.search import Gallery
from app.persistence.connections.database import Database
from app.persistence.repositories.clusters import ClusteredAlbum, ClusterRepository, find_unclustered
from app.persistence.repositories.collections import CollectionRepository
from app.services.collections.decisions import DecisionMaker
from app.telemetry import get_logger

_log = get_logger(__name__)

_FACES = 500
"""New faces that are clustered at once."""
_KEPT = 8
"""Albums whose clusters stay in memory."""
_KEPT_FACES = 250_000
"""How many faces these have at most, besides the album in use: 30 MB, and 3 KB for each cluster."""
_KEPT_S = 900.0
"""How long they stay after the last new face."""
_QUIET_S = 20.0
"""How long after the last new face its album is looked through for misplaced faces."""
_NEW_SHARE = 0.05
"""So many of its faces must be new since the last time; faces that move are fewer."""
_LOOKED_THROUGH = 1_000
"""Faces that are looked at at once: about 0.1 seconds, in which nothing else is clustered."""
_MAX_LOOKED_THROUGH = 20_000
"""Albums with more faces stay as they are: each face needs a scan of all clusters."""


@dataclass(slots=True)
class _Kept:
    """An album's clusters in memory, the version that they are, and the state of the gallery that they come from."""

    tenant_id: UUID
    of: Gallery
    clusters: OnlineClusters
    version: int
    gallery: tuple[UUID, int, int]
    """The gallery's id, epoch and number of deletions."""
    added: int = 0
    """New faces since the last time that all were looked through."""
    to_look_at: list[tuple[UUID, UUID]] = field(default_factory=list)
    """Faces, each with its photo, that are looked through now."""
    used_at: float = field(default_factory=time.monotonic)


class ClusterKeeper:
    """Clusters the faces of all tenants' albums; several workers may do so at the same time."""

    def __init__(self, database: Database, engine: SearchEngine, decisions: DecisionMaker) -> None:
        self._database = database
        self._engine = engine
        self._decisions = decisions
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()

    async def run(self) -> int:
        """Cluster every face that waits for it; return how many did."""
        clustered = 0
        for tenant_id, album_id in await find_unclustered(self._database):
            try:
                while count := await self._cluster(tenant_id, album_id):
                    clustered += count
            except AppError as exc:
                _log.warning("album_not_clustered", tenant=str(tenant_id), code=exc.code)
        self._forget_unused()
        for kept in list(self._kept.values()):
            if time.monotonic() - kept.used_at >= _QUIET_S:
                try:
                    await self._look_through(kept)
                except AppError as exc:
                    _log.warning("clusters_not_looked_through", tenant=str(kept.tenant_id), code=exc.code)
        return clustered

    async def _look_through(self, kept: _Kept) -> None:
        """Move the next misplaced faces of an album, if enough new ones have come since the last time."""
        faces, album_id = kept.clusters.count_faces(), kept.of.collection_id
        if not kept.to_look_at:
            if faces > _MAX_LOOKED_THROUGH or kept.added < max(1, _NEW_SHARE * faces):
                return
            async with self._database.transaction(kept.tenant_id) as session:
                members = sorted(await ClusterRepository(session, kept.tenant_id).list_members(album_id))
            kept.to_look_at, kept.added = [(face_id, photo_id) for _, face_id, photo_id in members], 0
        chosen = dict(kept.to_look_at[-_LOOKED_THROUGH:])
        del kept.to_look_at[-_LOOKED_THROUGH:]
        found = await self._read_faces(kept, chosen)
        if not found:
            self._kept.pop(album_id, None)
            return
        stored = [one for one in found if kept.clusters.find_cluster(one.id) is not None]
        joined, merged = await asyncio.to_thread(move_misplaced, kept.clusters, stored)
        if joined:
            await self._write(kept, joined, merged)

    def _forget_unused(self) -> None:
        """Drop clusters without recent faces: erased faces must not stay in their sums."""
        oldest = time.monotonic() - _KEPT_S
        for album_id in [album_id for album_id, kept in self._kept.items() if kept.used_at < oldest]:
            del self._kept[album_id]

    async def _cluster(self, tenant_id: UUID, album_id: UUID) -> int:
        """Cluster the next faces of an album; return their number, 0 if there are none or another worker was faster."""
        async with self._database.transaction(tenant_id) as session:
            album = await CollectionRepository(session, tenant_id).find_by_id(album_id)
            rows = ClusterRepository(session, tenant_id)
            state = await rows.read_album(album_id, lock=True)
            if album is None or album.recognizer is None or state is None:
                return 0
            is_outdated = state.recognizer not in (None, album.recognizer)
            if is_outdated:  # its embeddings are not comparable with the new ones
                await rows.dissolve(album_id)
            if await rows.remove_known(album_id) or is_outdated:
                await rows.note_change(album_id)
                self._kept.pop(album_id, None)
                state = await rows.read_album(album_id)
                assert state is not None  # still there: this transaction changed it
            waiting = dict(await rows.list_unclustered(album_id, album.recognizer, _FACES))
        if not waiting:
            return 0
        kept = await self._open(tenant_id, Gallery(album_id, album.recognizer), state)
        if kept is None:
            return 0
        found = await self._read_faces(kept, waiting)
        faces = [face for face in found if kept.clusters.find_cluster(face.id) is None]
        if not faces:
            return 0
        joined, merged = await asyncio.to_thread(add_all, kept.clusters, faces)
        kept.added += len(joined)
        return await self._write(kept, joined, merged)

    async def _write(self, kept: _Kept, joined: dict[UUID, UUID], merged: dict[UUID, UUID]) -> int:
        album_id = kept.of.collection_id
        async with self._database.transaction(kept.tenant_id) as session:
            rows = ClusterRepository(session, kept.tenant_id)
            state = await rows.read_album(album_id, lock=True)
            if state is None or state.version != kept.version:
                self._kept.pop(album_id, None)
                return 0
            await rows.write(joined, merged)
            await rows.note_change(album_id, kept.clusters.threshold, kept.of.recognizer)
        kept.version += 1
        return len(joined)

    async def _open(self, tenant_id: UUID, gallery: Gallery, state: ClusteredAlbum) -> _Kept | None:
        """Return an album's clusters, from memory if they are current; None if its gallery is empty."""
        album_id = gallery.collection_id
        async with self._engine.snapshots.snapshot(tenant_id) as connection:
            statements = GalleryStatements(connection, tenant_id)
            facts = await statements.read_facts(gallery)
            if facts is None:
                return None
            current = (facts.id, facts.epoch, facts.deletions)
            kept = self._kept.get(album_id)
            if kept is not None and kept.version == state.version and kept.gallery == current:
                self._kept.move_to_end(album_id)
                kept.used_at = time.monotonic()
                return kept
            stored = await statements.read_all_faces(facts.id)
        calibration = facts.scale.calibration or self._decisions.calibrations[gallery.recognizer]
        threshold = state.threshold if state.threshold is not None else pick_threshold(calibration)
        async with self._database.transaction(tenant_id) as session:
            rows = ClusterRepository(session, tenant_id)
            members, pairs = await rows.list_members(album_id), await rows.list_constraints(album_id)
        clusters = OnlineClusters(threshold)
        for pair in pairs:
            say = clusters.require if pair.are_same else clusters.forbid
            try:
                say(pair.first, pair.second)
            except ConstraintConflict:  # the later of two contradicting ones: what stands already counts
                continue
        clusters.load(await asyncio.to_thread(_restore, members, stored))
        kept = self._kept[album_id] = _Kept(tenant_id, gallery, clusters, state.version, current)
        self._kept.move_to_end(album_id)
        while len(self._kept) > 1 and (len(self._kept) > _KEPT or self._count_faces() > _KEPT_FACES):
            self._kept.popitem(last=False)
        return kept

    def _count_faces(self) -> int:
        """Return how many faces are in memory besides those of the album used last."""
        *others, _ = self._kept.values()
        return sum(kept.clusters.count_faces() for kept in others)

    async def _read_faces(self, kept: _Kept, photos: dict[UUID, UUID]) -> list[UnknownFace]:
        """Read faces, given with their photos; erased ones are missing, and all if the gallery has changed."""
        async with self._engine.snapshots.snapshot(kept.tenant_id) as connection:
            statements = GalleryStatements(connection, kept.tenant_id)
            facts = await statements.read_facts(kept.of)
            if facts is None or (facts.id, facts.epoch, facts.deletions) != kept.gallery:
                return []
            found = await statements.read_faces_by_id(kept.gallery[0], list(photos))
        return [
            UnknownFace(face_id, found[face_id].embedding, photo_id, found[face_id].is_reliable)
            for face_id, photo_id in photos.items()
            if face_id in found
        ]


def _restore(members: list[tuple[UUID, UUID, UUID]], stored: dict[UUID, GalleryFace]) -> list[ClusterState]:
    """Rebuild clusters from their faces: cluster, face and photo of each."""
    by_cluster: dict[UUID, list[tuple[UUID, UUID]]] = {}
    for cluster_id, face_id, photo_id in members:
        if face_id in stored:
            by_cluster.setdefault(cluster_id, []).append((face_id, photo_id))
    states = []
    for cluster_id, faces in by_cluster.items():
        reliable = [stored[face_id].embedding for face_id, _ in faces if stored[face_id].is_reliable]
        total = np.sum(reliable, axis=0) if reliable else np.zeros(EMBEDDING_SIZE)
        photos = [photo_id for _, photo_id in faces]
        ids = [face_id for face_id, _ in faces]
        states.append(ClusterState(cluster_id, total.astype(np.float32), len(reliable), photos, ids))
    return states
