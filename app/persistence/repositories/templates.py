"""Templates: `TemplateStore` stores faces with protected embeddings; `TemplateRepository` reads them without."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import ColumnElement, LargeBinary, func, select, type_coerce
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.faces import Embedding, Face, RelativeBox
from app.domain.people import UNKNOWN_ORIGIN, ExportedFace, FaceOrigin, Template
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import CollectionModel, GalleryModel, TemplateModel
from app.persistence.repositories.audit import ChainHead
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.protections import ProtectionRepository
from app.persistence.template_protector import TemplateProtector
from app.security.audit_chain import FIRST_SEAL
from app.security.template_protection import Protection

_EXPORTED_AT_ONCE = 50
"""Templates that an export reads at once; between them, the event loop serves other requests."""

_STORE = """
SELECT stored_at, used, audit_seq, audit_seal, audit_at FROM vultus_store_templates(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19
)
"""
"""Lock the gallery and store templates in it, in one round trip (migration 0026)."""


@dataclass(frozen=True, slots=True)
class NewFace:
    """A face to store for a subject, with its embeddings by recognizer."""

    subject_id: UUID
    embeddings: Mapping[str, Embedding] = field(repr=False)
    detection_score: float
    quality: dict[str, float]
    origin: FaceOrigin | None = None
    id: UUID = field(default_factory=uuid4)
    moved_at: datetime | None = None
    """When the face was assigned to its current subject; None if it always belonged to it."""

    @classmethod
    def of(
        cls, subject_id: UUID, face: Face, embeddings: Mapping[str, Embedding], origin: FaceOrigin | None = None
    ) -> "NewFace":
        """Build a new face from a detection."""
        return cls(subject_id, embeddings, face.detection_score, describe_quality(face), origin)


@dataclass(frozen=True, slots=True)
class LastStored:
    """How many templates the tenant has after a transaction's last ones, and the locked head of its audit chain.

    `head` is None if the templates exceed the quota.
    """

    used: int
    head: ChainHead | None


class TemplateStore(TenantRepository):
    """Writes and exports one tenant's templates; it applies and removes the template protection."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, protector: TemplateProtector) -> None:
        super().__init__(session, tenant_id)
        self._protector = protector
        self._protections = ProtectionRepository(session, tenant_id)

    async def add_all(self, faces: Sequence[NewFace], *, collection_id: UUID, source: str) -> list[Template]:
        """Store faces in order, one template per embedding; searches find them after the commit.

        Returns one template per face, that of its first embedding.
        """
        recognizers = await self._begin(faces, collection_id)
        templates: dict[tuple[str, UUID], Template] = {}
        for recognizer in recognizers:
            embedded = [face for face in faces if recognizer in face.embeddings]
            row = await self._add(embedded, collection_id, recognizer, source)
            for face in embedded:
                described = (face.detection_score, face.quality, source, row["stored_at"])
                templates[recognizer, face.id] = Template(face.id, recognizer, *described)
        return [templates[next(iter(face.embeddings)), face.id] for face in faces]

    async def add_last(
        self,
        faces: Sequence[NewFace],
        *,
        collection_id: UUID,
        source: str,
        quota: int | None,
        protections: Mapping[str, Protection],
    ) -> LastStored:
        """Store at least one face as `add_all` does, count the tenant's templates and lock its audit chain.

        Call it after all other changes of the transaction. `protections` are those of galleries that are known already.
        """
        recognizers = await self._begin(faces, collection_id)
        row: Any = None
        for recognizer in recognizers:
            embedded = [face for face in faces if recognizer in face.embeddings]
            protection, last = protections.get(recognizer), (recognizer == recognizers[-1], quota)
            row = await self._add(embedded, collection_id, recognizer, source, protection, last)
        _, used, *head = row
        return LastStored(used or 0, ChainHead(*head) if head[0] is not None else None)

    async def _begin(self, faces: Sequence[NewFace], collection_id: UUID) -> list[str]:
        """Return the faces' recognizers in the order in which their galleries are locked; locks several at once."""
        recognizers = sorted({name for face in faces for name in face.embeddings})
        if len(recognizers) > 1:
            await self.lock_galleries(collection_id, recognizers)
        return recognizers

    async def lock_galleries(self, collection_id: UUID, recognizers: Iterable[str]) -> None:
        """Lock the collection's galleries of these recognizers until the transaction ends; creates missing ones.

        Storing in several galleries needs this before the first template, with all of them at once. The first template
        locks the tenant's usage row, and a transaction that waits for a gallery must not hold that lock. The order is
        that of migration 0015.
        """
        names = sorted(recognizers)
        await self.create_galleries(collection_id, names)
        await self._lock_galleries(GalleryModel.collection_id == collection_id, GalleryModel.recognizer.in_(names))

    async def create_galleries(self, collection_id: UUID, recognizers: Sequence[str]) -> None:
        """Create the collection's missing galleries of these recognizers, which are sorted."""
        for name in recognizers:
            protection = await self._protections.get_for_gallery(collection_id, name, self._protector.current_key_id)
            row = self._row(id=uuid4(), collection_id=collection_id, recognizer=name, generation=protection.generation)
            await self._session.execute(insert(GalleryModel).values(row).on_conflict_do_nothing())

    async def _add(
        self,
        faces: Sequence[NewFace],
        collection_id: UUID,
        recognizer: str,
        source: str,
        protection: Protection | None = None,
        last: tuple[bool, int | None] = (False, None),
    ) -> Any:
        """Store one template per face; `protection` is the gallery's if it is known."""
        origins = [face.origin or UNKNOWN_ORIGIN for face in faces]
        columns = (
            [face.detection_score for face in faces],
            [json.dumps(face.quality) for face in faces],
            [origin.image_id for origin in origins],
            [origin.external_image_id for origin in origins],
            [_box_literal(origin.box) if origin.box else None for origin in origins],
            [origin.digest for origin in origins],
            [face.moved_at for face in faces],
        )
        ids, owners = [face.id for face in faces], [face.subject_id for face in faces]
        embeddings = [face.embeddings[recognizer] for face in faces]
        row = None
        while row is None:  # retry if the gallery's protection changed in between
            protection = protection or await self._protections.get_for_gallery(
                collection_id, recognizer, self._protector.current_key_id
            )
            protected = await self._protector.protect(self._tenant_id, protection, embeddings)
            values = np.concatenate(protected).tolist()
            gallery = (uuid4(), collection_id, recognizer, protection.generation, source)
            row = await self._fetch_row(_STORE, *gallery, ids, owners, values, *columns, *last, FIRST_SEAL)
            protection = None
        return row

    async def add_missing(
        self,
        embeddings: Mapping[UUID, Mapping[str, Embedding]],
        *,
        collection_id: UUID,
        subject_ids: Collection[UUID],
        source: str,
    ) -> int:
        """Add the missing templates of stored faces of these subjects; return the number of faces that got any.

        `embeddings` maps face id and recognizer to the embedding; existing templates stay. Lock the subjects first.
        """
        statement = self._select(
            TemplateModel,
            TemplateModel.collection_id == collection_id,
            TemplateModel.id.in_(list(embeddings)),
            TemplateModel.subject_id.in_(list(subject_ids)),
        ).order_by(TemplateModel.id, TemplateModel.gallery_id)
        stored: dict[UUID, list[TemplateModel]] = {}
        for row in await self._session.scalars(statement):
            stored.setdefault(row.id, []).append(row)
        new = []
        for face_id, rows in stored.items():
            present = {row.recognizer for row in rows}
            missing = {name: embedding for name, embedding in embeddings[face_id].items() if name not in present}
            if missing:
                new.append(_with_embeddings(rows[0], missing))
        if new:
            await self.add_all(new, collection_id=collection_id, source=source)
        return len(new)

    async def add_exported(
        self, templates: Sequence[ExportedFace], *, collection_id: UUID, subject_id: UUID
    ) -> list[Template]:
        """Store exported templates; those with the same id become one face, which gets a new id."""
        faces: dict[UUID, NewFace] = {}
        for exported in templates:
            new = NewFace(subject_id, {}, exported.detection_score, exported.quality, exported.origin)
            face = faces.setdefault(exported.id, new)
            embeddings = {**face.embeddings, exported.recognizer: exported.embedding}
            faces[exported.id] = replace(face, embeddings=embeddings)
        return await self.add_all(list(faces.values()), collection_id=collection_id, source="import")

    async def export(self, subject_id: UUID) -> list[ExportedFace]:
        """Export a subject's templates with unprotected embeddings, by gallery, oldest first."""
        return await self._export(TemplateModel.subject_id == subject_id)

    async def export_face(self, face_id: UUID) -> list[ExportedFace]:
        """Export the templates of one face, one for each recognizer; empty if there is no such face."""
        return await self._export(TemplateModel.id == face_id)

    async def _export(self, condition: ColumnElement[bool]) -> list[ExportedFace]:
        sent = func.halfvec_send(TemplateModel.embedding)
        statement = (
            self._select(TemplateModel, condition)
            .join(GalleryModel, (GalleryModel.id == TemplateModel.gallery_id) & self._of_tenant(GalleryModel))
            .add_columns(GalleryModel.generation, type_coerce(sent, LargeBinary))
            .order_by(TemplateModel.gallery_id, TemplateModel.seq)
            .execution_options(yield_per=_EXPORTED_AT_ONCE)
        )
        faces: list[ExportedFace] = []
        generations: list[int] = []
        async for row, generation, raw in await self._session.stream(statement):
            described = (row.detection_score, row.quality, row.source, row.created_at, describe_origin(row))
            faces.append(ExportedFace(row.id, row.recognizer, decode_embedding(raw), *described))
            generations.append(generation)
        for generation in set(generations):  # at once: thousands of faces have one or two
            places = [place for place, of_row in enumerate(generations) if of_row == generation]
            protection = await self._protections.get(generation)
            stored = [faces[place].embedding for place in places]
            revealed = await self._protector.reveal(self._tenant_id, protection, stored)
            for place, embedding in zip(places, revealed, strict=True):
                faces[place] = replace(faces[place], embedding=embedding)
        return faces


class TemplateRepository(TenantRepository):
    """The stored faces of one tenant's subjects, without embeddings; a face counts once, even with two templates."""

    async def list_page(self, subject_id: UUID, after: UUID | None, limit: int) -> list[Template]:
        """List up to `limit` faces of a subject after the face id `after`, by id."""
        conditions = [TemplateModel.subject_id == subject_id]
        if after is not None:
            conditions.append(TemplateModel.id > after)
        return await self._read(*conditions, limit=limit)

    async def find(self, subject_id: UUID, face_id: UUID) -> Template | None:
        found = await self._read(TemplateModel.subject_id == subject_id, TemplateModel.id == face_id, limit=1)
        return found[0] if found else None

    async def delete(self, subject_id: UUID, face_id: UUID) -> bool:
        """Erase one face; return False if it does not exist."""
        return await self._erase(TemplateModel.subject_id == subject_id, TemplateModel.id == face_id) > 0

    async def delete_all(self, subject_id: UUID) -> int:
        """Erase a subject's faces and return their number."""
        return await self._erase(TemplateModel.subject_id == subject_id)

    async def count(self, subject_id: UUID) -> int:
        counted = select(func.count(TemplateModel.id.distinct())).where(
            self._of_tenant(TemplateModel), TemplateModel.subject_id == subject_id
        )
        return await self._session.scalar(counted) or 0

    async def _erase(self, *conditions: ColumnElement[bool]) -> int:
        galleries = select(TemplateModel.gallery_id).where(self._of_tenant(TemplateModel), *conditions)
        await self._lock_galleries(GalleryModel.id.in_(galleries))
        statement = self._delete(TemplateModel, *conditions).returning(TemplateModel.id)
        erased = set(await self._session.scalars(statement))
        self._note_erased(ErasedKind.FACE, erased)
        return len(erased)

    async def _read(self, *conditions: ColumnElement[bool], limit: int) -> list[Template]:
        """Read each face with its template of the recognizer in use, if there is one."""
        is_in_use = TemplateModel.recognizer == CollectionModel.recognizer
        statement = (
            self._select(TemplateModel, *conditions)
            .outerjoin(
                CollectionModel, (CollectionModel.id == TemplateModel.collection_id) & self._of_tenant(CollectionModel)
            )
            .ext(distinct_on(TemplateModel.id))
            .order_by(TemplateModel.id, is_in_use.desc().nulls_last(), TemplateModel.gallery_id)
            .limit(limit)
        )
        return [_describe(row) for row in await self._session.scalars(statement)]


def decode_embedding(sent: bytes) -> Embedding:
    """Read an embedding (512,) in the format of pgvector's `halfvec_send`."""
    return np.frombuffer(sent, ">f2", offset=4).astype(np.float32)


def embedding_literal(embedding: Embedding) -> str:
    """Format an embedding (512,) as pgvector text, with six significant digits."""
    return "[" + ",".join(f"{value:.6g}" for value in embedding.tolist()) + "]"


def _with_embeddings(row: TemplateModel, embeddings: Mapping[str, Embedding]) -> NewFace:
    """Build a stored face again, with the same id and other recognizers' embeddings."""
    return NewFace(
        row.subject_id, embeddings, row.detection_score, row.quality, describe_origin(row), row.id, row.moved_at
    )


def describe_origin(row: TemplateModel) -> FaceOrigin:
    """Read the image and box that a template's face comes from."""
    box = RelativeBox(*row.box) if row.box is not None else None
    return FaceOrigin(row.image_id, box, row.external_image_id, row.image_digest)


def _box_literal(box: RelativeBox) -> str:
    return f"{{{box.left:.6g},{box.top:.6g},{box.width:.6g},{box.height:.6g}}}"


def describe_quality(face: Face) -> dict[str, float]:
    """Return a face's quality as it is stored with its templates, rounded."""
    score, length = face.quality.score, face.quality.embedding_length
    return {
        **({} if score is None else {"score": round(score, 2)}),
        **({} if length is None else {"embedding_length": round(length, 3)}),
        "face_pixels": round(face.quality.face_pixels, 1),
        "sharpness": round(face.quality.sharpness, 1),
        "brightness": round(face.quality.brightness, 1),
        "yaw_deg": round(face.quality.yaw_deg, 1),
        "pitch_deg": round(face.quality.pitch_deg, 1),
        "roll_deg": round(face.quality.roll_deg, 1),
        "visible_share": round(face.quality.visible_share, 2),
    }


def _describe(row: TemplateModel) -> Template:
    described = (row.detection_score, row.quality, row.source, row.created_at, describe_origin(row))
    return Template(row.id, row.recognizer, *described)
