"""Stored faces as their collection shows them: listed, found, given to subjects, erased."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
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

Place = tuple[UUID, int]
"""A gallery's id and a template's place in it: the order in which a collection's faces are listed."""


@dataclass(frozen=True, slots=True)
class GalleryFace:
    """A face to be given to somebody; `embedding` is as it is stored, so comparable within its gallery only."""

    face: CollectionFace
    subject_id: UUID
    gallery_id: UUID
    place: int
    embedding: Embedding | None = field(default=None, repr=False)


class CollectionFaceRepository(TenantRepository):
    """The stored faces of one tenant's collections."""

    async def list_page(
        self,
        collection_id: UUID,
        after: Place | None,
        limit: int,
        *,
        subject_id: UUID | None = None,
        ids: Sequence[UUID] | None = None,
    ) -> list[GalleryFace]:
        """Up to `limit` faces behind a place; of one subject, or of these ids, if given.

        A face that two recognizers embedded comes once. One that is given to somebody meanwhile goes to the end: it
        may come twice, but is never missed.
        """
        conditions: list[ColumnElement[bool]] = []
        if subject_id is not None:
            conditions.append(TemplateModel.subject_id == subject_id)
        if ids is not None:
            conditions.append(TemplateModel.id == any_(cast(list(ids), ARRAY(Uuid))))
        # A face stands where its oldest template is: what another recognizer makes of it meanwhile moves it nowhere.
        by_age = select(GalleryModel.id).where(self._own(GalleryModel), GalleryModel.collection_id == collection_id)
        galleries = list(await self._session.scalars(by_age.order_by(GalleryModel.created_at, GalleryModel.id)))
        begin = galleries.index(after[0]) if after is not None and after[0] in galleries else 0
        found: list[GalleryFace] = []
        another = aliased(TemplateModel)
        for place, gallery_id in enumerate(galleries[begin:], begin):  # each is read by its index
            is_older = another.created_at < TemplateModel.created_at
            is_as_old = (another.created_at == TemplateModel.created_at) & another.gallery_id.in_(galleries[:place])
            was_before = select(another.id).where(
                self._own(another), another.id == TemplateModel.id, is_older | is_as_old
            )
            wanted = self._faces(TemplateModel.gallery_id == gallery_id, *conditions).order_by(TemplateModel.seq)
            if len(galleries) > 1:
                wanted = wanted.where(~was_before.exists())
            if after is not None and gallery_id == after[0]:
                wanted = wanted.where(TemplateModel.seq > after[1])
            found += await self._read(wanted.limit(limit - len(found)))
            if len(found) == limit:
                break
        return found

    async def find_anonymous_owners(self, collection_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
        """The anonymous subjects that these faces belong to just now."""
        wanted = self._faces(TemplateModel.collection_id == collection_id, TemplateModel.id.in_(ids))
        held = await self._read(wanted.where(SubjectModel.is_anonymous.is_(True)))
        return {one.subject_id for one in held}

    async def find_all(
        self, collection_id: UUID, ids: Sequence[UUID], owners: Collection[UUID], *, with_embeddings: bool = False
    ) -> dict[UUID, GalleryFace]:
        """Those of these faces that the collection has; those of `owners` are held until the transaction ends.

        The owners' own rows must be held before: in all that locks, subjects come first, then galleries, then faces. Of
        a face that several recognizers embedded, what the one in use made is given.
        """
        if owners:
            await self._lock_galleries(GalleryModel.collection_id == collection_id)
        theirs = TemplateModel.id == any_(cast(list(ids), ARRAY(Uuid)))
        faces = self._faces(TemplateModel.collection_id == collection_id, theirs)
        held = self._faces(theirs, TemplateModel.subject_id.in_(owners))
        held = held.order_by(TemplateModel.id, TemplateModel.gallery_id)
        locked = await self._read(held.with_for_update(of=TemplateModel), with_embeddings=with_embeddings)
        searched = await self._session.scalar(
            select(CollectionModel.recognizer).where(self._own(CollectionModel), CollectionModel.id == collection_id)
        )
        found, kept = (
            {one.face.id: one for one in sorted(some, key=lambda one: one.face.recognizer == searched)}
            for some in (await self._read(faces), locked)
        )
        return found | kept

    async def find_of_subject(self, subject_id: UUID, gallery_id: UUID, limit: int) -> list[GalleryFace]:
        """A subject's newest faces in one gallery, with their embeddings."""
        statement = self._faces(TemplateModel.subject_id == subject_id, TemplateModel.gallery_id == gallery_id)
        statement = statement.order_by(TemplateModel.seq.desc()).limit(limit)
        return await self._read(statement, with_embeddings=True)

    async def find_of_image(self, collection_id: UUID, digests: Sequence[bytes]) -> list[GalleryFace]:
        """What was stored from this very image: of each face what each recognizer made. None of it is held."""
        conditions = (TemplateModel.collection_id == collection_id, TemplateModel.image_digest.in_(digests))
        return await self._read(self._faces(*conditions).order_by(TemplateModel.seq))

    async def sample(self, collection_id: UUID, recognizer: str, most: int) -> list[str]:
        """The newest face of each of up to `most` known subjects, as PostgreSQL writes embeddings.

        Subjects' ids are random, so their order draws them.
        """
        statement = (
            self._faces(TemplateModel.collection_id == collection_id, TemplateModel.recognizer == recognizer)
            .where(SubjectModel.is_anonymous.is_(False))
            .ext(distinct_on(TemplateModel.subject_id))
            .order_by(TemplateModel.subject_id, TemplateModel.seq.desc())
            .with_only_columns(cast(TemplateModel.embedding, Text))
            .limit(most)
        )
        return list(await self._session.scalars(statement))

    async def lock_image(self, collection_id: UUID, digest: bytes) -> None:
        """Let nobody else store faces of this very image until the transaction ends."""
        key = func.hashtextextended(f"{self._tenant_id}/{collection_id}/{digest.hex()}", 0)
        await self._session.execute(select(func.pg_advisory_xact_lock(key)))

    async def give(self, held: Sequence[GalleryFace], to: Mapping[UUID, UUID]) -> None:
        """Give each face, by its id, to a subject, by its id, with all of its templates.

        In its gallery each takes a new place at the end (migration 0013).
        """
        order = {one.face.id: place for place, one in enumerate(held)}
        stored = self._select(TemplateModel, TemplateModel.id == any_(cast(list(order), ARRAY(Uuid))))
        stored = stored.join(GalleryModel, (GalleryModel.id == TemplateModel.gallery_id) & self._own(GalleryModel))
        columns = (TemplateModel.id, TemplateModel.gallery_id, GalleryModel.recognizer)
        rows = (await self._session.execute(stored.with_only_columns(*columns))).all()
        moves = sorted(rows, key=lambda row: (row.recognizer, order[row.id]))  # galleries as migration 0015 locks them
        places: list[int] = []
        for gallery_id, count in Counter(row.gallery_id for row in moves).items():
            more = {"last_seq": GalleryModel.last_seq + count, "deletions": GalleryModel.deletions + count}
            taken = self._update(GalleryModel, GalleryModel.id == gallery_id).values(**more)
            last = await self._session.scalar(taken.returning(GalleryModel.last_seq)) or 0
            places += range(last - count + 1, last + 1)
        given = (
            func.unnest(
                cast([row.id for row in moves], ARRAY(Uuid)),
                cast([row.gallery_id for row in moves], ARRAY(Uuid)),
                cast([to[row.id] for row in moves], ARRAY(Uuid)),
                cast(places, ARRAY(BIGINT)),
            )
            .table_valued("id", "gallery_id", "subject_id", "seq", name="given")
            .render_derived()
        )
        is_given = (TemplateModel.id == given.c.id) & (TemplateModel.gallery_id == given.c.gallery_id)
        moved = self._update(TemplateModel, is_given)
        values = {"subject_id": given.c.subject_id, "seq": given.c.seq, "moved_at": func.now()}
        await self._session.execute(moved.values(**values).execution_options(synchronize_session=False))

    async def delete(self, ids: Sequence[UUID]) -> None:
        """Erase faces."""
        await self._session.execute(self._delete(TemplateModel, TemplateModel.id.in_(ids)))
        self._note_erased(ErasedKind.FACE, ids)

    def _faces(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        is_theirs = (SubjectModel.id == TemplateModel.subject_id) & self._own(SubjectModel)
        statement = self._select(TemplateModel, *conditions).join(SubjectModel, is_theirs)
        columns: tuple[Any, ...] = _COLUMNS
        return statement.with_only_columns(*columns)

    async def _read(self, statement: Select[Any], *, with_embeddings: bool = False) -> list[GalleryFace]:
        """Bare rows: of thousands of faces objects of the ORM would take most of the time."""
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
