"""Templates: the stored faces. Embeddings go in here and come out only as similarities."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Double,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from app.domain.faces import Embedding, Face, RelativeBox
from app.domain.people import ExportedFace, FaceOrigin, Template
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import CollectionModel, GalleryModel, TemplateModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.protections import ProtectionRepository
from app.persistence.template_protector import TemplateProtector

# One round trip. The gallery's row is locked by the upsert until the transaction ends, and every template up to its
# `last_seq` was stored under that lock: places become visible in their order, which lets a search hold what is stored
# up to one place and read only what came after it. Nothing is stored where the gallery's protection is another by now.
_STORE = text("""
WITH place AS (
    INSERT INTO galleries (tenant_id, id, collection_id, recognizer, templates, last_seq, generation)
    VALUES (:tenant_id, :gallery_id, :collection_id, :recognizer, :count, :count, :generation)
    ON CONFLICT (tenant_id, collection_id, recognizer) DO UPDATE
    SET templates = galleries.templates + excluded.templates, last_seq = galleries.last_seq + excluded.last_seq
    WHERE galleries.generation = excluded.generation
    RETURNING id, last_seq
)
INSERT INTO templates (
    tenant_id, id, collection_id, subject_id, gallery_id, seq, recognizer, embedding, detection_score, quality, source,
    image_id, external_image_id, box, image_digest, moved_at
)
SELECT :tenant_id, given.id, :collection_id, given.subject_id, place.id, place.last_seq - :count + given.ordinal,
       :recognizer, CAST(given.embedding AS halfvec), given.score, CAST(given.quality AS jsonb), :source,
       given.image_id, given.external_image_id, CAST(given.box AS double precision[]), given.image_digest,
       given.moved_at
FROM place, unnest(:ids, :subject_ids, :embeddings, :scores, :qualities, :image_ids, :external_image_ids, :boxes,
                   :image_digests, :moved) WITH ORDINALITY AS given(
    id, subject_id, embedding, score, quality, image_id, external_image_id, box, image_digest, moved_at, ordinal)
RETURNING id, recognizer, detection_score, quality, source, created_at
""").bindparams(
    bindparam("tenant_id", type_=Uuid),
    bindparam("gallery_id", type_=Uuid),
    bindparam("collection_id", type_=Uuid),
    bindparam("subject_ids", type_=ARRAY(Uuid)),
    bindparam("recognizer", type_=Text),
    bindparam("source", type_=Text),
    bindparam("count", type_=BigInteger),
    bindparam("generation", type_=Integer),
    bindparam("ids", type_=ARRAY(Uuid)),
    bindparam("embeddings", type_=ARRAY(Text)),
    bindparam("scores", type_=ARRAY(Double)),
    bindparam("qualities", type_=ARRAY(Text)),
    bindparam("image_ids", type_=ARRAY(Uuid)),
    bindparam("external_image_ids", type_=ARRAY(Text)),
    bindparam("boxes", type_=ARRAY(Text)),
    bindparam("image_digests", type_=ARRAY(LargeBinary)),
    bindparam("moved", type_=ARRAY(DateTime(timezone=True))),
)


@dataclass(frozen=True, slots=True)
class NewFace:
    """A face to store, with its embeddings by recognizer, and whose it is."""

    subject_id: UUID
    embeddings: Mapping[str, Embedding] = field(repr=False)
    detection_score: float
    quality: dict[str, float]
    origin: FaceOrigin | None = None
    id: UUID = field(default_factory=uuid4)
    moved_at: datetime | None = None
    """When the face was given to the subject, if it was another's before."""

    @classmethod
    def of(
        cls, subject_id: UUID, face: Face, embeddings: Mapping[str, Embedding], origin: FaceOrigin | None = None
    ) -> "NewFace":
        """A face that was just found in an image."""
        return cls(subject_id, embeddings, face.detection_score, _describe_quality(face), origin)


class TemplateStore(TenantRepository):
    """Where one tenant's faces are stored: the one way in, and it protects them."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, protector: TemplateProtector) -> None:
        super().__init__(session, tenant_id)
        self._protector = protector
        self._protections = ProtectionRepository(session, tenant_id)

    async def add_all(self, faces: Sequence[NewFace], *, collection_id: UUID, source: str) -> list[Template]:
        """Store faces in their order; the next search finds them once this transaction is committed.

        Each with a template for each recognizer that embedded it; its first is given back.
        """
        templates: dict[tuple[str, UUID], Template] = {}
        recognizers = sorted({name for face in faces for name in face.embeddings})
        if len(recognizers) > 1:
            await self.lock_galleries(collection_id, recognizers)
        for recognizer in recognizers:
            own = [face for face in faces if recognizer in face.embeddings]
            for template in await self._add(own, collection_id, recognizer, source):
                templates[recognizer, template.id] = template
        return [templates[next(iter(face.embeddings)), face.id] for face in faces]

    async def lock_galleries(self, collection_id: UUID, recognizers: Iterable[str]) -> None:
        """Lock the collection's galleries of these recognizers, made if need be, until the transaction ends.

        For whoever stores in several: always all of them, in the order in which migration 0015 locks them, before the
        first is stored in. A tenant's usage is locked by the first template; who waits for a gallery must not hold it.
        """
        names = sorted(recognizers)
        for name in names:
            protection = await self._protections.of_gallery(collection_id, name, self._protector.current_key_id)
            row = self._row(id=uuid4(), collection_id=collection_id, recognizer=name, generation=protection.generation)
            await self._session.execute(insert(GalleryModel).values(row).on_conflict_do_nothing())
        await self._lock_galleries(GalleryModel.collection_id == collection_id, GalleryModel.recognizer.in_(names))

    async def _add(self, faces: Sequence[NewFace], collection_id: UUID, recognizer: str, source: str) -> list[Template]:
        rows: Sequence[Any] = []
        while not rows:  # again where the gallery was given another protection meanwhile
            protection = await self._protections.of_gallery(collection_id, recognizer, self._protector.current_key_id)
            embeddings = [face.embeddings[recognizer] for face in faces]
            stored = await self._protector.protect(self._tenant_id, protection, embeddings)
            origins = [face.origin for face in faces]
            values = self._row(
                gallery_id=uuid4(),
                collection_id=collection_id,
                recognizer=recognizer,
                source=source,
                count=len(faces),
                generation=protection.generation,
                ids=[face.id for face in faces],
                subject_ids=[face.subject_id for face in faces],
                embeddings=[embedding_literal(embedding) for embedding in stored],
                scores=[face.detection_score for face in faces],
                qualities=[json.dumps(face.quality) for face in faces],
                image_ids=[origin.image_id if origin else None for origin in origins],
                external_image_ids=[origin.external_image_id if origin else None for origin in origins],
                boxes=[_box_literal(origin.box) if origin else None for origin in origins],
                image_digests=[origin.digest if origin else None for origin in origins],
                moved=[face.moved_at for face in faces],
            )
            rows = (await self._session.execute(_STORE, values)).all()
        return [Template(*row) for row in rows]

    async def add_to(
        self,
        embeddings: Mapping[UUID, Mapping[str, Embedding]],
        *,
        collection_id: UUID,
        owners: Collection[UUID],
        source: str,
    ) -> int:
        """Store more templates of these owners' faces, by face and recognizer; how many faces got some.

        The owners' rows must be held. A recognizer's second template of a face is not stored.
        """
        statement = self._select(
            TemplateModel,
            TemplateModel.collection_id == collection_id,
            TemplateModel.id.in_(list(embeddings)),
            TemplateModel.subject_id.in_(list(owners)),
        ).order_by(TemplateModel.id, TemplateModel.gallery_id)
        stored: dict[UUID, list[TemplateModel]] = {}
        for row in await self._session.scalars(statement):
            stored.setdefault(row.id, []).append(row)
        new = []
        for face_id, rows in stored.items():
            known = {row.recognizer for row in rows}
            missing = {name: made for name, made in embeddings[face_id].items() if name not in known}
            if missing:
                new.append(_another_of(rows[0], missing))
        if new:
            await self.add_all(new, collection_id=collection_id, source=source)
        return len(new)

    async def import_subject(
        self, faces: Sequence[ExportedFace], *, collection_id: UUID, subject_id: UUID
    ) -> list[Template]:
        """Store faces that were exported; templates of one id are one face's, which gets a new one."""
        one_face: dict[UUID, NewFace] = {}
        for exported in faces:
            new = NewFace(subject_id, {}, exported.detection_score, exported.quality)
            known = one_face.setdefault(exported.id, new)
            embeddings = {**known.embeddings, exported.recognizer: exported.embedding}
            one_face[exported.id] = replace(known, embeddings=embeddings)
        return await self.add_all(list(one_face.values()), collection_id=collection_id, source="import")

    async def export(self, subject_id: UUID) -> list[ExportedFace]:
        """A subject's faces with their embeddings as the recognizer made them, the oldest first."""
        statement = (
            self._select(TemplateModel, TemplateModel.subject_id == subject_id)
            .join(GalleryModel, (GalleryModel.id == TemplateModel.gallery_id) & self._own(GalleryModel))
            .add_columns(GalleryModel.generation)
            .options(undefer(TemplateModel.embedding))
            .order_by(TemplateModel.gallery_id, TemplateModel.seq)
        )
        faces = []
        for row, generation in await self._session.execute(statement):
            protection = await self._protections.get(generation)
            stored = np.asarray(row.embedding, dtype=np.float32)
            (embedding,) = await self._protector.reveal(self._tenant_id, protection, [stored])
            described = (row.detection_score, row.quality, row.source, row.created_at)
            faces.append(ExportedFace(row.id, row.recognizer, embedding, *described))
        return faces


class TemplateRepository(TenantRepository):
    """The stored faces of one tenant's subjects, without their embeddings; each once, however many embedded it."""

    async def list_page(self, subject_id: UUID, after: UUID | None, limit: int) -> list[Template]:
        """Up to `limit` faces of a subject behind the id `after`, by id."""
        conditions = [TemplateModel.subject_id == subject_id]
        if after is not None:
            conditions.append(TemplateModel.id > after)
        return await self._read(*conditions, limit=limit)

    async def find(self, subject_id: UUID, face_id: UUID) -> Template | None:
        """One face of a subject."""
        found = await self._read(TemplateModel.subject_id == subject_id, TemplateModel.id == face_id, limit=1)
        return found[0] if found else None

    async def delete(self, subject_id: UUID, face_id: UUID) -> bool:
        """Erase one face; False if there is none."""
        return await self._erase(TemplateModel.subject_id == subject_id, TemplateModel.id == face_id) > 0

    async def delete_all(self, subject_id: UUID) -> int:
        """Erase a subject's faces; how many there were."""
        return await self._erase(TemplateModel.subject_id == subject_id)

    async def count(self, subject_id: UUID) -> int:
        """How many faces a subject has."""
        counted = select(func.count(TemplateModel.id.distinct())).where(
            self._own(TemplateModel), TemplateModel.subject_id == subject_id
        )
        return await self._session.scalar(counted) or 0

    async def _erase(self, *conditions: ColumnElement[bool]) -> int:
        theirs = select(TemplateModel.gallery_id).where(self._own(TemplateModel), *conditions)
        await self._lock_galleries(GalleryModel.id.in_(theirs))
        statement = self._delete(TemplateModel, *conditions).returning(TemplateModel.id)
        erased = set(await self._session.scalars(statement))
        self._note_erased(ErasedKind.FACE, erased)
        return len(erased)

    async def _read(self, *conditions: ColumnElement[bool], limit: int) -> list[Template]:
        """With the template of the recognizer in use, where there is one."""
        is_searched = TemplateModel.recognizer == CollectionModel.recognizer
        statement = (
            self._select(TemplateModel, *conditions)
            .outerjoin(
                CollectionModel, (CollectionModel.id == TemplateModel.collection_id) & self._own(CollectionModel)
            )
            .ext(distinct_on(TemplateModel.id))
            .order_by(TemplateModel.id, is_searched.desc().nulls_last(), TemplateModel.gallery_id)
            .limit(limit)
        )
        return [_describe(row) for row in await self._session.scalars(statement)]


def embedding_literal(embedding: Embedding) -> str:
    """An embedding as PostgreSQL reads it."""
    return "[" + ",".join(f"{value:.6g}" for value in embedding.tolist()) + "]"


def _another_of(row: TemplateModel, embeddings: Mapping[str, Embedding]) -> NewFace:
    """The same face as other recognizers embedded it."""
    origin = None
    if row.image_id is not None and row.box is not None:
        origin = FaceOrigin(row.image_id, RelativeBox(*row.box), row.external_image_id, row.image_digest)
    return NewFace(row.subject_id, embeddings, row.detection_score, row.quality, origin, row.id, row.moved_at)


def _box_literal(box: RelativeBox) -> str:
    return f"{{{box.left:.6g},{box.top:.6g},{box.width:.6g},{box.height:.6g}}}"


def _describe_quality(face: Face) -> dict[str, float]:
    return {
        "face_pixels": round(face.quality.face_pixels, 1),
        "sharpness": round(face.quality.sharpness, 1),
        "brightness": round(face.quality.brightness, 1),
        "yaw_deg": round(face.quality.yaw_deg, 1),
        "pitch_deg": round(face.quality.pitch_deg, 1),
        "roll_deg": round(face.quality.roll_deg, 1),
    }


def _describe(row: TemplateModel) -> Template:
    return Template(row.id, row.recognizer, row.detection_score, row.quality, row.source, row.created_at)
