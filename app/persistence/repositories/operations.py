"""What people changed at once, with what was before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func

from app.domain.sightings import MACHINE, FacePair
from app.errors import OperationNotFound, OperationSuperseded, OperationUndone
from app.persistence.models import OperationModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.sightings import SightingRecord


@dataclass(frozen=True, slots=True)
class ClusterChange:
    """The clusters that faces were in, by face, and what was newly said about pairs of faces."""

    before: Mapping[UUID, UUID] = field(default_factory=dict)
    said: Sequence[FacePair] = ()

    def describe(self) -> dict[str, Any]:
        """Return the change as JSON."""
        return {
            "clusters": {str(face_id): str(cluster_id) for face_id, cluster_id in self.before.items()},
            "said": [[str(pair.first), str(pair.second), pair.are_same] for pair in self.said],
        }

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> "ClusterChange":
        clusters = {UUID(face_id): UUID(cluster_id) for face_id, cluster_id in described["clusters"].items()}
        said = [FacePair(UUID(first), UUID(second), are_same) for first, second, are_same in described["said"]]
        return cls(clusters, said)


_NOTHING = ClusterChange()
Pair = tuple[UUID, UUID]
"""A face's and a subject's id, or the other way round."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that was not undone: the sightings before it, the rejections it added and removed,
    the clusters that it changed, and the faces that it stored (subject and face)."""

    id: UUID
    collection_id: UUID
    created_at: datetime
    before: Sequence[Mapping[str, Any]] = field(repr=False)
    rejections: list[Pair]
    removed: list[Pair]
    clusters: ClusterChange
    stored: list[Pair]

    @property
    def face_ids(self) -> list[UUID]:
        return [record["face_id"] for record in self.before]

    @property
    def machine_decided(self) -> set[UUID]:
        """The faces that the machine had decided before."""
        return {record["face_id"] for record in self.before if record["decided_by"] == MACHINE}

    def refuse_superseded(self, records: Sequence[SightingRecord]) -> None:
        """Raise `OperationSuperseded` if a person decided one of the sightings after the operation."""
        later = [record for record in records if record.decided_by != MACHINE and record.decided_at > self.created_at]
        if later:
            raise OperationSuperseded(
                f"{len(later)} of the faces, such as {later[0].face_id}, were decided again since; undo that first."
            )


class OperationRepository(TenantRepository):
    """One tenant's operations."""

    async def add(
        self,
        collection_id: UUID,
        kind: str,
        actor: str,
        before: Sequence[Mapping[str, Any]],
        *,
        rejections: Sequence[Pair] = (),
        removed: Sequence[Pair] = (),
        clusters: ClusterChange = _NOTHING,
        stored: Sequence[Pair] = (),
    ) -> UUID:
        """Add an operation and return its id; its time is that of the transaction."""
        described = {
            "sightings": list(before),
            "rejections": [[str(face), str(subject)] for face, subject in rejections],
            "removed": [[str(face), str(subject)] for face, subject in removed],
            **clusters.describe(),
            "stored": [[str(subject), str(face)] for subject, face in stored],
        }
        row = OperationModel(
            **self._row(id=uuid4(), collection_id=collection_id, kind=kind, actor=actor, before=described)
        )
        self._session.add(row)
        await self._session.flush()
        return row.id

    async def lock(self, operation_id: UUID) -> Operation:
        """Lock and return an operation; raises `OperationNotFound` or `OperationUndone`."""
        row = await self._session.scalar(
            self._select(OperationModel, OperationModel.id == operation_id).with_for_update()
        )
        if row is None:
            raise OperationNotFound
        if row.undone_at is not None:
            raise OperationUndone
        before = [_read(record) for record in row.before["sightings"]]
        return Operation(
            row.id,
            row.collection_id,
            row.created_at,
            before,
            _pairs(row.before["rejections"]),
            _pairs(row.before["removed"]),
            ClusterChange.read(row.before),
            _pairs(row.before["stored"]),
        )

    async def mark_undone(self, operation_id: UUID) -> None:
        statement = self._update(OperationModel, OperationModel.id == operation_id)
        await self._session.execute(statement.values(undone_at=func.now()))


def _read(record: Mapping[str, Any]) -> dict[str, Any]:
    ids = {
        name: None if record[name] is None else UUID(record[name])
        for name in ("face_id", "subject_id", "matched_face_id")
    }
    return {**record, **ids, "decided_at": datetime.fromisoformat(record["decided_at"])}


def _pairs(described: Sequence[Sequence[str]]) -> list[Pair]:
    return [(UUID(first), UUID(second)) for first, second in described]
