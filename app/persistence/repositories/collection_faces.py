"""Stored faces of a collection: listing, finding, assigning to subjects, erasing."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import ColumnElement, Select, Text, Uuid, any_, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, distinct_on
from sqlalchemy.orm import aliased

from app.domain.faces import Embedding, RelativeBox
from app.domain.people import CollectionFace
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import CollectionModel, GalleryModel, SubjectModel, TemplateModel
from app.persistence.repositories.base import TenantRepository

FacePosition = tuple[UUID, int]
"""A gallery's id and a template's sequence number in it: the listing order of a collection's faces."""


@dataclass(frozen=True, slots=True)
class FaceFilter:
    """Which faces of a collection to list or erase: those that meet every condition that is not None."""

    subject_id: UUID | None = None
    ids: Sequence[UUID] | None = None
    external_image_id: str | None = None
    image_id: UUID | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Build the conditions on templates."""
        conditions: list[ColumnElement[bool]] = []
        if self.subject_id is not None:
            conditions.append(TemplateModel.subject_id == self.subject_id)
        if self.ids is not None:
            conditions.append(TemplateModel.id == any_(cast(list(self.ids), ARRAY(Uuid))))
        if self.external_image_id is not None:
            conditions.append(TemplateModel.external_image_id == self.external_image_id)
        if self.image_id is not None:
            conditions.append(TemplateModel.image_id == self.image_id)
        return conditions


ALL_FACES = FaceFilter()


@dataclass(frozen=True, slots=True)
class GalleryFace:
    """A face with its gallery and subject; `embedding` is the stored form, comparable within its gallery only."""

    face: CollectionFace
    subject_id: UUID
    gallery_id: UUID
    seq: int
    embedding: Embedding | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NamedFace:
    """A stored face of a named subject."""

    id: UUID
    subject: str


class CollectionFaceRepository(TenantRepository):
    """The stored faces of one tenant's collections.

    Lock order everywhere: subjects, then galleries, then templates.
    """

    async def list_page(
        self, collection_id: UUID, after: FacePosition | None, limit: int, filters: FaceFilter = ALL_FACES
    ) -> list[GalleryFace]:
        """List up to `limit` faces after a position.

        A face with templates of two recognizers is listed once. Assigning a face while a client pages moves it to the
        end, so the client may see it twice but never misses it.
        """
        # Each gallery is read by its index on seq. A face is listed where its oldest template is, so that templates
        # added later by another recognizer do not move it.
        by_age = select(GalleryModel.id).where(
            self._of_tenant(GalleryModel), GalleryModel.collection_id == collection_id
        )
        galleries = list(await self._session.scalars(by_age.order_by(GalleryModel.created_at, GalleryModel.id)))
        first = galleries.index(after[0]) if after is not None and after[0] in galleries else 0
        found: list[GalleryFace] = []
        for index, gallery_id in enumerate(galleries[first:], first):
            faces = self._faces(TemplateModel.gallery_id == gallery_id, *filters.conditions()).order_by(
                TemplateModel.seq
            )
            if len(galleries) > 1:
                faces = faces.where(~self._has_older_template(galleries[:index]))
            if after is not None and gallery_id == after[0]:
                faces = faces.where(TemplateModel.seq > after[1])
            found += await self._read(faces.limit(limit - len(found)))
            if len(found) == limit:
                break
        return found

    async def list_named(
        self,
        collection_id: UUID,
        subject_id: UUID | None,
        *,
        offset: int,
        limit: int,
        ids: Sequence[UUID] | None = None,
    ) -> list[NamedFace]:
        """List faces of named subjects by id, each once, whatever the number of its templates."""
        found = self._named(collection_id, FaceFilter(subject_id, ids))
        statement = found.with_only_columns(TemplateModel.id, SubjectModel.subject).distinct()
        rows = await self._session.execute(statement.order_by(TemplateModel.id).offset(offset).limit(limit))
        return [NamedFace(row.id, row.subject) for row in rows]

    async def count_named(self, collection_id: UUID, subject_id: UUID | None) -> int:
        """Count the faces of named subjects."""
        found = self._named(collection_id, FaceFilter(subject_id))
        counted = found.with_only_columns(func.count(TemplateModel.id.distinct()))
        return await self._session.scalar(counted) or 0

    def _named(self, collection_id: UUID, filters: FaceFilter) -> Select[Any]:
        return self._faces(self._is_in(collection_id), *filters.conditions(), SubjectModel.is_anonymous.is_(False))

    def _has_older_template(self, earlier_galleries: Sequence[UUID]) -> ColumnElement[bool]:
        """Whether the face has an older template, or one of the same age in an earlier gallery."""
        other = aliased(TemplateModel)
        is_older = other.created_at < TemplateModel.created_at
        is_listed_earlier = (other.created_at == TemplateModel.created_at) & other.gallery_id.in_(earlier_galleries)
        older = select(other.id).where(
            self._of_tenant(other), other.id == TemplateModel.id, is_older | is_listed_earlier
        )
        return older.exists()

    async def find_owner_ids(self, collection_id: UUID, filters: FaceFilter) -> set[UUID]:
        """Find the subjects that these faces currently belong to."""
        statement = self._select(TemplateModel, self._is_in(collection_id), *filters.conditions())
        return set(await self._session.scalars(statement.with_only_columns(TemplateModel.subject_id).distinct()))

    async def erase(
        self, collection_id: UUID, filters: FaceFilter, owner_ids: Collection[UUID]
    ) -> dict[UUID, set[UUID]]:
        """Erase the faces of these subjects; return the erased faces' ids by subject. Lock the subjects first."""
        await self._lock_galleries(GalleryModel.collection_id == collection_id)
        of_owner = TemplateModel.subject_id == any_(cast(list(owner_ids), ARRAY(Uuid)))
        statement = self._delete(TemplateModel, self._is_in(collection_id), of_owner, *filters.conditions())
        erased: dict[UUID, set[UUID]] = {}
        for row in await self._session.execute(statement.returning(TemplateModel.id, TemplateModel.subject_id)):
            erased.setdefault(row.subject_id, set()).add(row.id)
        self._note_erased(ErasedKind.FACE, set[UUID]().union(*erased.values()))
        return erased

    def _is_in(self, collection_id: UUID) -> ColumnElement[bool]:
        """Whether a template is in one of the collection's galleries, by which the indexes on photos begin."""
        galleries = select(GalleryModel.id).where(
            self._of_tenant(GalleryModel), GalleryModel.collection_id == collection_id
        )
        return TemplateModel.gallery_id.in_(galleries)

    async def find_anonymous_subject_ids(self, collection_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
        """Find the anonymous subjects that these faces currently belong to."""
        faces = self._faces(TemplateModel.collection_id == collection_id, TemplateModel.id.in_(ids))
        found = await self._read(faces.where(SubjectModel.is_anonymous.is_(True)))
        return {face.subject_id for face in found}

    async def find_by_ids(
        self, collection_id: UUID, ids: Sequence[UUID], lock_of: Collection[UUID], *, with_embeddings: bool = False
    ) -> dict[UUID, GalleryFace]:
        """Find faces by id, and lock those of the subjects `lock_of` until the transaction ends.

        Lock the subjects' rows first. Each face comes with its template of the recognizer in use, if there is one.
        Only locked faces get embeddings.
        """
        if lock_of:
            await self._lock_galleries(GalleryModel.collection_id == collection_id)
        has_id = TemplateModel.id == any_(cast(list(ids), ARRAY(Uuid)))
        faces = self._faces(TemplateModel.collection_id == collection_id, has_id)
        to_lock = self._faces(has_id, TemplateModel.subject_id.in_(lock_of))
        to_lock = to_lock.order_by(TemplateModel.id, TemplateModel.gallery_id)
        locked = await self._read(to_lock.with_for_update(of=TemplateModel), with_embeddings=with_embeddings)
        in_use = await self._session.scalar(
            select(CollectionModel.recognizer).where(
                self._of_tenant(CollectionModel), CollectionModel.id == collection_id
            )
        )
        return _by_id(await self._read(faces), in_use) | _by_id(locked, in_use)

    async def list_by_subject(self, subject_id: UUID, gallery_id: UUID, limit: int) -> list[GalleryFace]:
        """List a subject's newest faces in one gallery, with their embeddings."""
        statement = self._faces(TemplateModel.subject_id == subject_id, TemplateModel.gallery_id == gallery_id)
        statement = statement.order_by(TemplateModel.seq.desc()).limit(limit)
        return await self._read(statement, with_embeddings=True)

    async def list_by_image(self, collection_id: UUID, digests: Sequence[bytes]) -> list[GalleryFace]:
        """List every template stored from this image, without locking it; `digests` are the image's keyed digests."""
        conditions = (TemplateModel.collection_id == collection_id, TemplateModel.image_digest.in_(digests))
        return await self._read(self._faces(*conditions).order_by(TemplateModel.seq))

    async def sample_embeddings(self, collection_id: UUID, recognizer: str, max_subjects: int) -> list[str]:
        """Sample the newest embedding of each of up to `max_subjects` named subjects, as halfvec text.

        The order by random subject ids makes the sample random.
        """
        statement = (
            self._faces(TemplateModel.collection_id == collection_id, TemplateModel.recognizer == recognizer)
            .where(SubjectModel.is_anonymous.is_(False))
            .ext(distinct_on(TemplateModel.subject_id))
            .order_by(TemplateModel.subject_id, TemplateModel.seq.desc())
            .with_only_columns(cast(TemplateModel.embedding, Text))
            .limit(max_subjects)
        )
        return list(await self._session.scalars(statement))

    async def lock_image(self, collection_id: UUID, digest: bytes) -> None:
        """Lock an image, so that no other transaction stores faces from it until this one ends."""
        key = func.hashtextextended(f"{self._tenant_id}/{collection_id}/{digest.hex()}", 0)
        await self._session.execute(select(func.pg_advisory_xact_lock(key)))

    async def assign(self, faces: Sequence[GalleryFace], subject_ids: Mapping[UUID, UUID]) -> None:
        """Assign faces with all their templates to subjects; `subject_ids` maps face ids to subject ids.

        Each template gets a new sequence number at the end of its gallery, in the order of `faces` (migration 0013).
        Lock the faces first.
        """
        order = {face.face.id: index for index, face in enumerate(faces)}
        stored = self._select(TemplateModel, TemplateModel.id == any_(cast(list(order), ARRAY(Uuid))))
        stored = stored.join(
            GalleryModel, (GalleryModel.id == TemplateModel.gallery_id) & self._of_tenant(GalleryModel)
        )
        columns = (TemplateModel.id, TemplateModel.gallery_id, GalleryModel.recognizer)
        rows = (await self._session.execute(stored.with_only_columns(*columns))).all()
        moves = sorted(rows, key=lambda row: (row.recognizer, order[row.id]))  # the lock order of migration 0015
        seqs: list[int] = []
        for gallery_id, count in Counter(row.gallery_id for row in moves).items():
            seqs += await self._reserve_seqs(gallery_id, count)
        target = (
            func.unnest(
                cast([row.id for row in moves], ARRAY(Uuid)),
                cast([row.gallery_id for row in moves], ARRAY(Uuid)),
                cast([subject_ids[row.id] for row in moves], ARRAY(Uuid)),
                cast(seqs, ARRAY(BIGINT)),
            )
            .table_valued("id", "gallery_id", "subject_id", "seq", name="target")
            .render_derived()
        )
        is_target = (TemplateModel.id == target.c.id) & (TemplateModel.gallery_id == target.c.gallery_id)
        values = {"subject_id": target.c.subject_id, "seq": target.c.seq, "moved_at": func.now()}
        statement = self._update(TemplateModel, is_target).values(**values)
        await self._session.execute(statement.execution_options(synchronize_session=False))

    async def delete(self, ids: Sequence[UUID]) -> None:
        await self._session.execute(self._delete(TemplateModel, TemplateModel.id.in_(ids)))
        self._note_erased(ErasedKind.FACE, ids)

    def _faces(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        of_template = (SubjectModel.id == TemplateModel.subject_id) & self._of_tenant(SubjectModel)
        statement = self._select(TemplateModel, *conditions).join(SubjectModel, of_template)
        columns: tuple[Any, ...] = _COLUMNS
        return statement.with_only_columns(*columns)

    async def _read(self, statement: Select[Any], *, with_embeddings: bool = False) -> list[GalleryFace]:
        """Read plain rows; for thousands of faces, building ORM objects would take most of the time."""
        if with_embeddings:
            statement = statement.add_columns(TemplateModel.embedding)
        return [_describe(row, with_embeddings) for row in await self._session.execute(statement)]


_COLUMNS = (
    TemplateModel.id,
    TemplateModel.recognizer,
    TemplateModel.detection_score,
    TemplateModel.image_id,
    TemplateModel.external_image_id,
    TemplateModel.box,
    TemplateModel.subject_id,
    TemplateModel.gallery_id,
    TemplateModel.seq,
    SubjectModel.subject,
    SubjectModel.is_anonymous,
)


def _by_id(faces: Iterable[GalleryFace], in_use: str | None) -> dict[UUID, GalleryFace]:
    """Index faces by id, preferring the template of the recognizer in use."""
    return {face.face.id: face for face in sorted(faces, key=lambda face: face.face.recognizer == in_use)}


def _describe(row: Any, has_embedding: bool) -> GalleryFace:
    face = CollectionFace(
        row.id,
        row.recognizer,
        row.detection_score,
        row.image_id,
        row.external_image_id,
        RelativeBox(*row.box) if row.box is not None else None,
        None if row.is_anonymous else row.subject,
    )
    embedding = np.asarray(row.embedding, dtype=np.float32) if has_embedding else None
    return GalleryFace(face, row.subject_id, row.gallery_id, row.seq, embedding)
