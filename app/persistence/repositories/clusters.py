"""Clusters of an album's unknown faces: which face is in which, and what people said about pairs of faces."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Uuid, any_, cast, exists, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, insert

from app.domain.sightings import UNKNOWN_STATES, FaceCluster, FacePair
from app.persistence.connections.database import Database
from app.persistence.models import (
    AlbumModel,
    CollectionModel,
    FaceConstraintModel,
    GalleryModel,
    SightingModel,
    TemplateModel,
)
from app.persistence.repositories.base import TenantRepository

_UNKNOWN = sorted(state.value for state in UNKNOWN_STATES)
_SAMPLES = 4
_NONE: Mapping[UUID, UUID] = {}


@dataclass(frozen=True, slots=True)
class ClusteredAlbum:
    """The version of an album's clusters, and the threshold and recognizer that made them; None: there are none yet."""

    version: int
    threshold: float | None
    recognizer: str | None


class ClusterRepository(TenantRepository):
    """One tenant's clusters. Lock the album's version before its sightings."""

    async def read_album(self, collection_id: UUID, *, lock: bool = False) -> ClusteredAlbum | None:
        """Return the state of an album's clusters; `lock` keeps others from changing them until the end."""
        statement = self._select(AlbumModel, AlbumModel.collection_id == collection_id)
        row = await self._session.scalar(statement.with_for_update(key_share=True) if lock else statement)
        return ClusteredAlbum(row.clusters_version, row.cluster_threshold, row.cluster_recognizer) if row else None

    async def note_change(
        self, collection_id: UUID, threshold: float | None = None, recognizer: str | None = None
    ) -> None:
        """Count a change of an album's clusters; sets the threshold and the recognizer if given."""
        values: dict[str, Any] = {"clusters_version": AlbumModel.clusters_version + 1}
        if threshold is not None:
            values |= {"cluster_threshold": threshold, "cluster_recognizer": recognizer}
        statement = self._update(AlbumModel, AlbumModel.collection_id == collection_id)
        await self._session.execute(statement.values(**values))

    async def list_unclustered(self, collection_id: UUID, recognizer: str, limit: int) -> list[tuple[UUID, UUID]]:
        """List up to `limit` unknown faces without a cluster, in the order of arrival, each with its photo.

        Faces that the recognizer has not embedded yet are left out: they would wait before all others.
        """
        of_recognizer = select(GalleryModel.id).where(
            self._of_tenant(GalleryModel),
            GalleryModel.collection_id == collection_id,
            GalleryModel.recognizer == recognizer,
        )
        statement = self._select(
            SightingModel,
            SightingModel.collection_id == collection_id,
            SightingModel.cluster_id.is_(None),
            SightingModel.state.in_(_UNKNOWN),
            exists().where(
                self._of_tenant(TemplateModel),
                TemplateModel.id == SightingModel.face_id,
                TemplateModel.gallery_id.in_(of_recognizer),
            ),
        )
        columns: tuple[Any, ...] = (SightingModel.face_id, SightingModel.photo_id)
        rows = await self._session.execute(
            statement.with_only_columns(*columns).order_by(SightingModel.seq).limit(limit)
        )
        return [(face_id, photo_id) for face_id, photo_id in rows]

    async def list_members(self, collection_id: UUID) -> list[tuple[UUID, UUID, UUID]]:
        """List every face in a cluster of an album: cluster, face, photo."""
        columns: tuple[Any, ...] = (SightingModel.cluster_id, SightingModel.face_id, SightingModel.photo_id)
        statement = self._select(
            SightingModel, SightingModel.collection_id == collection_id, SightingModel.cluster_id.is_not(None)
        )
        rows = await self._session.execute(statement.with_only_columns(*columns))
        return [(cluster_id, face_id, photo_id) for cluster_id, face_id, photo_id in rows]

    async def remove_known(self, collection_id: UUID) -> int:
        """Take faces out of their clusters that are known or ignored by now; return how many."""
        is_known = SightingModel.state.not_in(_UNKNOWN)
        conditions = (SightingModel.collection_id == collection_id, SightingModel.cluster_id.is_not(None), is_known)
        statement = self._update(SightingModel, *conditions).values(cluster_id=None).returning(SightingModel.face_id)
        return len((await self._session.scalars(statement)).all())

    async def dissolve(self, collection_id: UUID) -> None:
        """Take all faces of an album out of their clusters; what people said about pairs of them stays."""
        conditions = (SightingModel.collection_id == collection_id, SightingModel.cluster_id.is_not(None))
        await self._session.execute(self._update(SightingModel, *conditions).values(cluster_id=None))
        values = {"cluster_threshold": None, "cluster_recognizer": None}
        album = self._update(AlbumModel, AlbumModel.collection_id == collection_id)
        await self._session.execute(album.values(**values))

    async def write(self, joined: Mapping[UUID, UUID], merged: Mapping[UUID, UUID] = _NONE) -> None:
        """Write which cluster faces joined, and into which clusters others were merged."""
        is_changed = or_(SightingModel.face_id.in_(joined), SightingModel.cluster_id.in_(merged))
        locked = self._select(SightingModel, is_changed).order_by(SightingModel.face_id).with_for_update()
        await self._session.execute(locked.with_only_columns(SightingModel.face_id))
        for gone, kept in merged.items():
            statement = self._update(SightingModel, SightingModel.cluster_id == gone)
            await self._session.execute(statement.values(cluster_id=kept))
        if joined:
            columns = ("face_id", "cluster_id")
            arrays = (cast(values, ARRAY(Uuid)) for values in (list(joined), list(joined.values())))
            became = func.unnest(*arrays).table_valued(*columns, name="became").render_derived()
            update = self._update(SightingModel, SightingModel.face_id == became.c.face_id)
            await self._session.execute(
                update.values(cluster_id=became.c.cluster_id).execution_options(synchronize_session=False)
            )

    async def find_album(self, cluster_id: UUID) -> tuple[UUID, str] | None:
        """Return the album of a cluster: its collection's id and name."""
        of_album = (CollectionModel.id == SightingModel.collection_id) & self._of_tenant(CollectionModel)
        columns: tuple[Any, ...] = (CollectionModel.id, CollectionModel.name)
        statement = self._select(SightingModel, SightingModel.cluster_id == cluster_id).join(CollectionModel, of_album)
        row = (await self._session.execute(statement.with_only_columns(*columns).limit(1))).one_or_none()
        return (row[0], row[1]) if row is not None else None

    async def list_faces(self, cluster_id: UUID) -> dict[UUID, UUID]:
        """Return the unknown faces of a cluster with their photos."""
        is_unknown = SightingModel.state.in_(_UNKNOWN)
        statement = self._select(SightingModel, SightingModel.cluster_id == cluster_id, is_unknown)
        columns: tuple[Any, ...] = (SightingModel.face_id, SightingModel.photo_id)
        rows = await self._session.execute(statement.with_only_columns(*columns))
        return {row[0]: row[1] for row in rows}

    async def list_page(self, collection_id: UUID, after: tuple[int, UUID] | None, limit: int) -> list[FaceCluster]:
        """List up to `limit` clusters of an album after a position, those with the most faces first."""
        faces = func.count()
        photos = func.count(SightingModel.photo_id.distinct())
        samples = func.array_agg(aggregate_order_by(SightingModel.face_id, SightingModel.seq))
        beyond = cast(func.greatest(faces - _SAMPLES, 0), Integer)
        statement = (
            select(
                SightingModel.cluster_id,
                faces,
                photos,
                func.trim_array(samples, beyond),
            )
            .where(
                self._of_tenant(SightingModel),
                SightingModel.collection_id == collection_id,
                SightingModel.cluster_id.is_not(None),
                SightingModel.state.in_(_UNKNOWN),
            )
            .group_by(SightingModel.cluster_id)
            .order_by(faces.desc(), SightingModel.cluster_id)
            .limit(limit)
        )
        if after is not None:
            count, cluster_id = after
            statement = statement.having(or_(faces < count, (faces == count) & (SightingModel.cluster_id > cluster_id)))
        return [FaceCluster(*row) for row in await self._session.execute(statement)]

    async def add_constraints(self, collection_id: UUID, pairs: Sequence[FacePair], said_by: str) -> list[FacePair]:
        """Note what a person said about pairs of faces; return the pairs about which nobody had said anything."""
        rows = [
            self._row(
                face_id=pair.first,
                other_id=pair.second,
                collection_id=collection_id,
                are_same=pair.are_same,
                said_by=said_by,
            )
            for pair in pairs
        ]
        statement = insert(FaceConstraintModel).values(rows).on_conflict_do_nothing()
        columns = (FaceConstraintModel.face_id, FaceConstraintModel.other_id, FaceConstraintModel.are_same)
        return [FacePair(*row) for row in await self._session.execute(statement.returning(*columns))]

    async def remove_constraints(self, pairs: Sequence[FacePair]) -> None:
        ids = [(pair.first, pair.second) for pair in pairs]
        is_pair = tuple_(FaceConstraintModel.face_id, FaceConstraintModel.other_id).in_(ids)
        await self._session.execute(self._delete(FaceConstraintModel, is_pair))

    async def list_constraints(self, collection_id: UUID) -> list[FacePair]:
        """List what people said about pairs of an album's faces."""
        statement = self._select(FaceConstraintModel, FaceConstraintModel.collection_id == collection_id)
        return [FacePair(row.face_id, row.other_id, row.are_same) for row in await self._session.scalars(statement)]

    async def find_separated(self, faces: Collection[UUID], others: Collection[UUID]) -> list[FacePair]:
        """Return what keeps two sets of faces apart."""
        first, second = FaceConstraintModel.face_id, FaceConstraintModel.other_id
        between = or_(
            (first == any_(cast(list(faces), ARRAY(Uuid)))) & (second == any_(cast(list(others), ARRAY(Uuid)))),
            (first == any_(cast(list(others), ARRAY(Uuid)))) & (second == any_(cast(list(faces), ARRAY(Uuid)))),
        )
        statement = self._select(FaceConstraintModel, FaceConstraintModel.are_same.is_(False), between)
        return [FacePair(row.face_id, row.other_id, row.are_same) for row in await self._session.scalars(statement)]


async def find_unclustered(database: Database) -> list[tuple[UUID, UUID]]:
    """Find the tenants and albums with faces that should join clusters, or leave them."""
    rows = await database.fetch_rows("SELECT tenant, album FROM vultus_unclustered_albums()")
    return [(row["tenant"], row["album"]) for row in rows]
