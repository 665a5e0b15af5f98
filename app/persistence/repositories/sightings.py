"""Sightings: whom the faces of albums show."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Double, ScalarSelect, Text, Uuid, any_, cast, func, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import InstrumentedAttribute, aliased

from app.domain.faces import RelativeBox
from app.domain.sightings import MACHINE, UNKNOWN_STATES, FaceDecisions, SeenSubject, Sighting, SightingState
from app.persistence.models import (
    AppearanceFaceModel,
    AppearanceModel,
    CollectionModel,
    PhotoModel,
    SightingModel,
    SightingRejectionModel,
    SubjectModel,
    TemplateModel,
)
from app.persistence.repositories.base import TenantRepository

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SightingChange:
    """What a sighting becomes."""

    face_id: UUID
    state: SightingState
    subject_id: UUID | None = None
    matched_face_id: UUID | None = None
    similarity: float | None = None
    false_match_rate: float | None = None


@dataclass(frozen=True, slots=True)
class SightingRecord:
    """A sighting's row, locked."""

    face_id: UUID
    photo_id: UUID
    state: SightingState
    subject_id: UUID | None
    matched_face_id: UUID | None
    similarity: float | None
    false_match_rate: float | None
    decided_by: str
    decided_at: datetime
    cluster_id: UUID | None = None

    @property
    def is_open(self) -> bool:
        """The machine may decide it: no person has, or a person only said whom it does not show."""
        return self.decided_by == MACHINE or self.state is SightingState.REJECTED


_VALUES: dict[str, Any] = {
    "state": Text,
    "subject_id": Uuid,
    "matched_face_id": Uuid,
    "similarity": Double,
    "false_match_rate": Double,
}


class SightingRepository(TenantRepository):
    """One tenant's sightings. Lock order: photos, subjects, sightings."""

    async def add_all(
        self,
        collection_id: UUID,
        photo_ids: Mapping[UUID, UUID],
        changes: Mapping[UUID, SightingChange],
        *,
        stale: bool,
    ) -> None:
        """Add the sightings of new faces; `photo_ids` maps face ids to photo ids. `stale` ones are decided again."""
        rows = []
        for face_id, photo_id in photo_ids.items():
            change = changes.get(face_id, SightingChange(face_id, SightingState.PENDING))
            rows.append(
                self._row(
                    face_id=face_id,
                    collection_id=collection_id,
                    photo_id=photo_id,
                    is_stale=stale,
                    **{name: getattr(change, name) for name in _VALUES},
                )
            )
        if rows:
            await self._session.execute(insert(SightingModel), rows)

    async def lock(self, face_ids: Collection[UUID]) -> list[SightingRecord]:
        """Lock sightings and return them."""
        statement = self._select(SightingModel, _is_any(face_ids)).order_by(SightingModel.face_id).with_for_update()
        return [
            SightingRecord(
                row.face_id,
                row.photo_id,
                SightingState(row.state),
                row.subject_id,
                row.matched_face_id,
                row.similarity,
                row.false_match_rate,
                row.decided_by,
                row.decided_at,
                row.cluster_id,
            )
            for row in await self._session.scalars(statement)
        ]

    async def list_beside(self, face_ids: Collection[UUID]) -> list[UUID]:
        """Return the faces of all photos that show one of these faces, these included.

        Of an appearance in a video, which has several faces, the best one is returned.
        """
        photos = self._select(SightingModel, _is_any(face_ids)).with_only_columns(SightingModel.photo_id)
        is_seen = AppearanceFaceModel.face_id == any_(cast(list(face_ids), ARRAY(Uuid)))
        of_appearance = (AppearanceModel.id == AppearanceFaceModel.appearance_id) & self._of_tenant(AppearanceModel)
        best = select(AppearanceModel.face_id).join(AppearanceFaceModel, of_appearance)
        best = best.where(self._of_tenant(AppearanceFaceModel), is_seen)
        statement = self._select(SightingModel, SightingModel.photo_id.in_(photos) | SightingModel.face_id.in_(best))
        return list(await self._session.scalars(statement.with_only_columns(SightingModel.face_id)))

    async def list_subjects(self, records: Collection[SightingRecord]) -> set[tuple[UUID, UUID, str]]:
        """Return whom sightings show: the photo's id, the collection's id and the subject's."""
        wanted = {record.subject_id for record in records}
        statement = select(SubjectModel.id, SubjectModel.collection_id, SubjectModel.subject).where(
            self._of_tenant(SubjectModel), SubjectModel.id.in_(wanted)
        )
        found = {row.id: (row.collection_id, row.subject) for row in await self._session.execute(statement)}
        return {(one.photo_id, *found[one.subject_id]) for one in records if one.subject_id in found}

    async def list_stale(self, collection_id: UUID, limit: int) -> list[UUID]:
        """List up to `limit` sightings of an album that are to be decided again."""
        statement = self._select(
            SightingModel, SightingModel.collection_id == collection_id, SightingModel.is_stale.is_(True)
        )
        return list(await self._session.scalars(statement.with_only_columns(SightingModel.face_id).limit(limit)))

    async def change(self, changes: Sequence[SightingChange], decided_by: str = MACHINE) -> None:
        """Write what sightings become. Lock them first."""
        if not changes:
            return
        columns: dict[str, tuple[Any, list[Any]]] = {
            "face_id": (Uuid, [change.face_id for change in changes]),
            **{name: (kind, [getattr(change, name) for change in changes]) for name, kind in _VALUES.items()},
        }
        arrays = (cast(values, ARRAY(kind)) for kind, values in columns.values())
        became = func.unnest(*arrays).table_valued(*columns, name="became").render_derived()
        statement = self._update(SightingModel, SightingModel.face_id == became.c.face_id).values(
            **{name: became.c[name] for name in _VALUES},
            decided_by=decided_by,
            decided_at=func.now(),
            is_stale=False,
        )
        await self._session.execute(statement.execution_options(synchronize_session=False))

    async def mark_stale(self, face_ids: Collection[UUID]) -> None:
        """Let the machine decide sightings again."""
        await self._session.execute(
            self._update(SightingModel, _is_any(face_ids)).values(is_stale=True),
        )

    async def clear_stale(self, face_ids: Collection[UUID]) -> None:
        """Leave sightings as they are, decided."""
        await self._session.execute(self._update(SightingModel, _is_any(face_ids)).values(is_stale=False))

    async def restore(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write sightings as an operation found them; those that are gone stay gone, and so do erased subjects."""
        present = await self._find_present({record["subject_id"] for record in records} - {None})
        for record in records:
            values = {name: value for name, value in record.items() if name != "face_id"}
            if record["subject_id"] is not None and record["subject_id"] not in present:
                values = {**dict.fromkeys(_VALUES), "state": SightingState.PENDING.value, "decided_by": MACHINE}
            statement = self._update(SightingModel, SightingModel.face_id == record["face_id"])
            await self._session.execute(statement.values(**values))

    async def list_page(
        self,
        *,
        collection_id: UUID | None = None,
        subject_id: UUID | None = None,
        state: SightingState | None = None,
        cluster_id: UUID | None = None,
        after: int | None = None,
        limit: int,
    ) -> list[Sighting]:
        """List up to `limit` sightings of an album or of a subject, oldest first."""
        conditions: list[ColumnElement[bool]] = []
        if collection_id is not None:
            conditions.append(SightingModel.collection_id == collection_id)
        if subject_id is not None:
            conditions.append(SightingModel.subject_id == subject_id)
        if state is not None:
            conditions.append(SightingModel.state == state.value)
        if cluster_id is not None:
            conditions.append(SightingModel.cluster_id == cluster_id)
        if after is not None:
            conditions.append(SightingModel.seq > after)
        return await self._read(*conditions, limit=limit)

    async def find(self, face_ids: Collection[UUID]) -> list[Sighting]:
        """Find sightings by their faces' ids."""
        return await self._read(_is_any(face_ids), limit=len(face_ids))

    async def find_albums(self, face_ids: Collection[UUID]) -> dict[UUID, tuple[UUID, str]]:
        """Find the album of each sighting: its collection's id and name."""
        of_album = (CollectionModel.id == SightingModel.collection_id) & self._of_tenant(CollectionModel)
        columns: tuple[Any, ...] = (SightingModel.face_id, CollectionModel.id, CollectionModel.name)
        statement = self._select(SightingModel, _is_any(face_ids)).join(CollectionModel, of_album)
        rows = await self._session.execute(statement.with_only_columns(*columns))
        return {face_id: (collection_id, name) for face_id, collection_id, name in rows}

    async def add_rejections(self, pairs: Sequence[tuple[UUID, UUID]], actor: str) -> None:
        """Note that faces do not show subjects, given as pairs of their ids."""
        present = await self._find_present({subject_id for _, subject_id in pairs})
        seen = {record.face_id for record in await self.lock([face_id for face_id, _ in pairs])} if pairs else set()
        rows = [
            self._row(face_id=face_id, subject_id=subject_id, rejected_by=actor)
            for face_id, subject_id in pairs
            if subject_id in present and face_id in seen
        ]
        if rows:
            await self._session.execute(insert(SightingRejectionModel).values(rows).on_conflict_do_nothing())

    async def _find_present(self, subject_ids: Collection[UUID]) -> set[UUID]:
        """Return which subjects exist, and keep them until the transaction ends."""
        if not subject_ids:
            return set()
        statement = select(SubjectModel.id).where(self._of_tenant(SubjectModel), SubjectModel.id.in_(subject_ids))
        return set(await self._session.scalars(statement.with_for_update(read=True, key_share=True)))

    async def remove_rejections(self, pairs: Sequence[tuple[UUID, UUID]]) -> None:
        is_pair = tuple_(SightingRejectionModel.face_id, SightingRejectionModel.subject_id).in_(pairs)
        await self._session.execute(self._delete(SightingRejectionModel, is_pair))

    async def list_decisions(self, subject_id: UUID, limit: int) -> FaceDecisions:
        """Return up to `limit` faces that people said show a subject, and as many that do not, the newest."""
        confirmed = self._select(
            SightingModel,
            SightingModel.subject_id == subject_id,
            SightingModel.state == SightingState.MATCHED.value,
            SightingModel.decided_by != MACHINE,
        ).order_by(SightingModel.seq.desc())
        rejected = self._select(SightingRejectionModel, SightingRejectionModel.subject_id == subject_id).order_by(
            SightingRejectionModel.rejected_at.desc(), SightingRejectionModel.face_id
        )
        return FaceDecisions(
            list(await self._session.scalars(confirmed.with_only_columns(SightingModel.face_id).limit(limit))),
            list(await self._session.scalars(rejected.with_only_columns(SightingRejectionModel.face_id).limit(limit))),
        )

    async def list_rejected_ids(self, face_ids: Collection[UUID]) -> list[tuple[UUID, UUID]]:
        """Return the rejections of faces as pairs of the face's and the subject's id."""
        is_asked = SightingRejectionModel.face_id == any_(cast(list(face_ids), ARRAY(Uuid)))
        columns: tuple[Any, ...] = (SightingRejectionModel.face_id, SightingRejectionModel.subject_id)
        statement = self._select(SightingRejectionModel, is_asked).with_only_columns(*columns)
        return [(face_id, subject_id) for face_id, subject_id in await self._session.execute(statement)]

    async def list_rejections(self, face_ids: Collection[UUID]) -> dict[UUID, set[tuple[UUID, str]]]:
        """Return the subjects that each face does not show, as collection id and subject id."""
        of_subject = (SubjectModel.id == SightingRejectionModel.subject_id) & self._of_tenant(SubjectModel)
        is_asked = SightingRejectionModel.face_id == any_(cast(list(face_ids), ARRAY(Uuid)))
        columns: tuple[Any, ...] = (
            SightingRejectionModel.face_id,
            SubjectModel.collection_id,
            SubjectModel.subject,
        )
        statement = self._select(SightingRejectionModel, is_asked).join(SubjectModel, of_subject)
        rejected: dict[UUID, set[tuple[UUID, str]]] = {}
        for face_id, collection_id, subject in await self._session.execute(statement.with_only_columns(*columns)):
            rejected.setdefault(face_id, set()).add((collection_id, subject))
        return rejected

    async def find_subjects(self, wanted: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], UUID]:
        """Return the row ids of subjects, given as collection id and subject id; missing ones are left out."""
        if not wanted:
            return {}
        is_wanted = tuple_(SubjectModel.collection_id, SubjectModel.subject).in_(list(wanted))
        statement = select(SubjectModel.collection_id, SubjectModel.subject, SubjectModel.id).where(
            self._of_tenant(SubjectModel), is_wanted
        )
        return {(row.collection_id, row.subject): row.id for row in await self._session.execute(statement)}

    async def _read(self, *conditions: ColumnElement[bool], limit: int) -> list[Sighting]:
        album, people = aliased(CollectionModel), aliased(CollectionModel)
        of_photo = (PhotoModel.id == SightingModel.photo_id) & self._of_tenant(PhotoModel)
        of_subject = (SubjectModel.id == SightingModel.subject_id) & self._of_tenant(SubjectModel)
        of_album = (album.id == SightingModel.collection_id) & self._of_tenant(album)
        of_people = (people.id == SubjectModel.collection_id) & self._of_tenant(people)
        columns: tuple[Any, ...] = (
            SightingModel,
            album.name,
            func.coalesce(PhotoModel.external_id, self._of_template(TemplateModel.external_image_id)),
            self._of_template(TemplateModel.box),
            people.name,
            SubjectModel.subject,
            SubjectModel.name,
            PhotoModel.source.is_not(None),
        )
        statement = (
            select(*columns)
            .where(self._of_tenant(SightingModel), *conditions)
            .outerjoin(PhotoModel, of_photo)
            .join(album, of_album)
            .outerjoin(SubjectModel, of_subject)
            .outerjoin(people, of_people)
            .order_by(SightingModel.seq)
            .limit(limit)
            .execution_options(populate_existing=True)
        )
        return [_describe(*row) for row in await self._session.execute(statement)]

    def _of_template(self, column: InstrumentedAttribute[T]) -> ScalarSelect[T]:
        """Return a column of the sighting's template; those of several recognizers agree."""
        of_face = (self._of_tenant(TemplateModel), TemplateModel.id == SightingModel.face_id)
        return select(column).where(*of_face).limit(1).correlate(SightingModel).scalar_subquery()


def _is_any(face_ids: Collection[UUID]) -> ColumnElement[bool]:
    return SightingModel.face_id == any_(cast(list(face_ids), ARRAY(Uuid)))


def _describe(
    row: SightingModel,
    album: str,
    external_id: str | None,
    box: list[float] | None,
    people: str | None,
    subject: str | None,
    name: str | None,
    is_in_object_store: bool,
) -> Sighting:
    seen = None
    if row.subject_id is not None and people is not None and subject is not None:
        seen = SeenSubject(row.subject_id, people, subject, name)
    return Sighting(
        row.face_id,
        album,
        row.photo_id,
        external_id,
        RelativeBox(*box) if box is not None else None,
        SightingState(row.state),
        seen,
        row.similarity,
        row.false_match_rate,
        row.decided_by,
        row.decided_at,
        row.seen_at,
        row.seq,
        row.cluster_id if row.state in UNKNOWN_STATES else None,
        is_in_object_store,
    )
