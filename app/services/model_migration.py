"""Storing a collection's faces with another recogniser beside the one in use, from photos that the tenant still has.

Each recogniser has a gallery of its own in every collection, and searches never mix two: what is stored for the next
one changes nothing for the one in use. The server is then started with the other pack, with the old one to go back.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from app.domain import FaceOrigin
from app.errors import AppError, NoFace, SubjectNotFound
from app.ml.analysis import Embed, FaceAnalyzer
from app.persistence.database import Database
from app.persistence.protector import TemplateProtector
from app.persistence.repositories.audit import AuditRepository
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.security.image_digests import image_digests
from app.security.keyring import Keyring
from app.services.audit import OPERATOR, AuditAction, AuditTrail
from app.services.collections import require_collection
from app.services.consent import ConsentGate


@dataclass
class MigrationReport:
    """How many faces were stored, how many were there already, and which photos gave none, and why."""

    stored: int = 0
    known: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


class ModelMigration:
    """Works through photos of subjects that a collection has; it can be interrupted and run again."""

    def __init__(self, database: Database, keyring: Keyring, analyzer: FaceAnalyzer) -> None:
        self._database = database
        self._keyring = keyring
        self._analyzer = analyzer
        self._protector = TemplateProtector(keyring)

    async def run(
        self, tenant_id: UUID, collection: str, photos: Sequence[tuple[Path, str]], *, threads: int,
        advance: Callable[[], None],
    ) -> MigrationReport:  # fmt: skip
        """Store the largest face of each photo for its subject, whom the collection must have."""
        report, turns = MigrationReport(), asyncio.Semaphore(threads)

        async def work(photo: Path, subject: str) -> None:
            async with turns:
                try:
                    is_new = await self._store(tenant_id, collection, subject, photo)
                except (AppError, OSError) as exc:
                    report.failures.append((str(photo), exc.detail if isinstance(exc, AppError) else str(exc)))
                else:
                    report.stored += is_new
                    report.known += not is_new
                advance()

        await asyncio.gather(*(work(photo, subject) for photo, subject in photos))
        return report

    async def _store(self, tenant_id: UUID, collection: str, subject: str, photo: Path) -> bool:
        image = await asyncio.to_thread(photo.read_bytes)
        digests = image_digests(self._keyring, ("migrate", str(tenant_id), collection, subject), image)
        recognizer = self._analyzer.engine.info.recognizer
        async with self._database.transaction(tenant_id) as session:
            collection_id = await require_collection(CollectionRepository(session, tenant_id), collection)
            before = await CollectionFaceRepository(session, tenant_id).find_of_image(collection_id, digests)
        if any(face.recognizer == recognizer for face in before):
            return False
        analysis = await asyncio.to_thread(self._analyzer.analyze, image, Embed.LARGEST_ACCEPTABLE)
        if not analysis.embeddings:
            raise NoFace("No face of the photo is good enough to register.")
        face = analysis.faces[0]
        origin = FaceOrigin(uuid4(), face.box.relative_to(analysis.width, analysis.height), digest=digests[0])
        async with self._database.transaction(tenant_id) as session:
            subjects = SubjectRepository(session, tenant_id)
            collection_id = await require_collection(CollectionRepository(session, tenant_id), collection, hold=True)
            row = await subjects.find_row(collection_id, subject, hold=True)
            if row is None:
                raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
            await ConsentGate(subjects, PolicyRepository(session, tenant_id)).demand(collection_id, subject)
            new = NewFace.of(row.id, face, analysis.embeddings[0], origin)
            store = TemplateStore(session, tenant_id, self._protector)
            await store.add_all([new], collection_id=collection_id, recognizer=recognizer, source="migrate")
            trail = AuditTrail(AuditRepository(session, tenant_id), self._keyring, OPERATOR)
            await trail.record(
                AuditAction.FACES_REGISTERED, trail.name_subject(collection, subject), collection=collection, faces=1,
                recognizer=recognizer,
            )  # fmt: skip
        return True
