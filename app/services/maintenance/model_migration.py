"""Migrate a collection to another recognizer, from photos that the tenant still has.

Each face of a photo is searched with the recognizer in use. If a template of the same image is stored, the other
recognizer's template of that face is added under the same face id. So no new person is registered, and no list of who
is in which photo is needed. If the photo's subject is given, a different image of the subject is also accepted, as long
as the recognizer in use matches it. Searches keep using the recognizer in use.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from app.domain.collections import CollectionRecord, Recognizers
from app.domain.decisions import ONE_TO_ONE
from app.domain.faces import Analysis, Embedding
from app.domain.people import FaceOrigin
from app.errors import AppError, FaceNotFound, InvalidParameter, NoFace, SubjectNotFound, Unavailable
from app.matcher.engine import SearchEngine
from app.matcher.search import Gallery
from app.matcher.tenant_search import TenantSearch
from app.matcher.thresholds import Thresholds
from app.ml.analysis import Embed, FaceAnalyzer
from app.persistence.connections.database import Database
from app.persistence.repositories.audit import AuditFilter, AuditRepository
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.security.image_digests import image_digests
from app.security.keyring import Keyring
from app.services.audit.actions import AuditAction
from app.services.audit.trail import OPERATOR, AuditTrail, AuditTrails
from app.services.collections.collections import require_found
from app.services.people.consent import ConsentGate
from app.services.people.template_completion import CompletionResult, TemplateCompletion
from app.services.photos.face_reader import by_recognizer, quality_error
from app.services.retries import retry_transient

SAME_IMAGE_SIMILARITY = 0.9
"""The cosine from which on two embeddings count as the same image.

The same photo in another size or quality reaches it. A different photo of the same person hardly ever does, and a
stranger's photo never (benchmarks/same_picture.py).
"""

_MAX_MATCHES = 1_000
_SOURCE = "migrate"
_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.2
"""Doubled after each attempt: six seconds in all, enough for a database restart."""
_MAX_ERASURES = 100
"""The number of recent audit entries among which the last erasure of the target recognizer is searched."""


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """A photo that the tenant still has; `subject` is None if it is unknown who is in it."""

    name: str
    read: Callable[[], Awaitable[bytes]]
    subject: str | None = None


@dataclass
class MigrationReport:
    """Counts of photos used, photos already stored and faces stored; failed photos with the reason."""

    used: int = 0
    already_stored: int = 0
    faces: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, result: "_PhotoResult") -> None:
        """Count a photo that did not fail."""
        self.used += result.faces > 0
        self.already_stored += result.faces == 0
        self.faces += result.faces


@dataclass(frozen=True, slots=True)
class MigrationStart:
    """A migration that can run: the gallery it starts from, and a number that identifies the migration.

    `last_erasure_seq` is the audit sequence number of the last erasure of the target recognizer's templates in this
    collection, 0 if there was none. Progress recorded before that erasure is no longer valid.
    """

    gallery: Gallery
    last_erasure_seq: int


@dataclass(frozen=True, slots=True)
class MigrationTarget:
    """The collection to migrate, and the recognizer to migrate it to."""

    tenant_id: UUID
    collection: str
    recognizer: str


class ModelMigration:
    """Migrate one collection to another recognizer; can be interrupted and run again."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        trails: AuditTrails,
        analyzer: FaceAnalyzer,
        search: SearchEngine,
        target: "MigrationTarget",
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._trails = trails
        self._analyzer = analyzer
        self._search = TenantSearch(search, target.tenant_id)
        self._protector = search.protector
        self._tenant_id = target.tenant_id
        self._collection = target.collection
        self._target = target.recognizer
        self.report = MigrationReport()
        """The progress so far."""

    async def run(
        self,
        start: MigrationStart,
        photos: Iterable[SourcePhoto],
        *,
        threads: int,
        advance: Callable[[SourcePhoto, bool], None],
    ) -> None:
        """Process the photos with `threads` workers.

        `advance` is called for each photo, with True if all faces of the photo are stored. A photo that fails is added
        to the report. Raises `Unavailable`, because that affects all photos.
        """
        remaining = iter(photos)

        async def process_remaining() -> None:
            for photo in remaining:
                advance(photo, await self._process(start.gallery, photo))

        workers = [asyncio.create_task(process_remaining()) for _ in range(threads)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _process(self, gallery: Gallery, photo: SourcePhoto) -> bool:
        """Store the templates of one photo; return whether all its faces are stored."""
        try:
            result = await self._migrate(gallery, photo)
        except Unavailable:
            raise
        except (AppError, OSError) as exc:
            self.report.failures.append((photo.name, exc.detail if isinstance(exc, AppError) else str(exc)))
            return False
        self.report.add(result)
        return result.is_complete

    async def begin(self) -> MigrationStart:
        """Make the target the collection's secondary recognizer: new faces are embedded with both from now on.

        Raises `CollectionNotFound`, or `InvalidParameter` if the collection cannot be migrated.
        """
        async with self._database.transaction(self._tenant_id) as session:
            collections = CollectionRepository(session, self._tenant_id)
            row = require_found(await collections.lock_row(self._collection), self._collection)
            in_use = self._require_migratable(row)
            target = f"collection:{self._collection}"
            if row.secondary_recognizer is None:
                await collections.set_recognizers(row.id, Recognizers(in_use, self._target))
                await self._trails.open(session, self._tenant_id, OPERATOR).record(
                    AuditAction.RECOGNIZERS_CHANGED, target, in_use=in_use, secondary=self._target
                )
            erasures = await AuditRepository(session, self._tenant_id).list_page(
                AuditFilter(actions=[AuditAction.RECOGNIZER_ERASED], targets=[target]), None, _MAX_ERASURES
            )
        seqs = (erasure.entry.seq for erasure in erasures if erasure.entry.details.get("recognizer") == self._target)
        return MigrationStart(Gallery(row.id, in_use), next(seqs, 0))

    def _require_migratable(self, row: CollectionRecord) -> str:
        """Return the recognizer in use; raises `InvalidParameter` if the collection cannot be migrated."""
        in_use = row.recognizer
        if in_use is None:
            raise InvalidParameter(f"Collection {self._collection!r} has no faces, so there is nothing to migrate.")
        if in_use == self._target:
            raise InvalidParameter(f"Collection {self._collection!r} is already searched with {in_use!r}.")
        if in_use not in self._analyzer.engine.infos:
            raise InvalidParameter(
                f"Collection {self._collection!r} is searched with {in_use!r}, which is not loaded. Add its pack to "
                f"VULTUS_MODEL_PACK or VULTUS_EXTRA_MODEL_PACKS."
            )
        if row.secondary_recognizer not in (None, self._target):
            raise InvalidParameter(
                f"Collection {self._collection!r} already has the secondary recognizer {row.secondary_recognizer!r}. "
                f"Remove it first (vultus models switch --alone)."
            )
        return in_use

    async def _migrate(self, gallery: Gallery, photo: SourcePhoto) -> "_PhotoResult":
        image = await photo.read()
        recognizers = Recognizers(gallery.recognizer, self._target)
        analysis = await asyncio.to_thread(self._analyzer.analyze, image, Embed.ALL, recognizers=recognizers)
        if not analysis.faces:
            raise NoFace
        embeddings = by_recognizer(analysis, recognizers)
        # Only the database work is retried, not the inference.
        return await retry_transient(
            lambda: self._store(gallery, photo.subject, image, analysis, embeddings), _ATTEMPTS, pause_s=_FIRST_PAUSE_S
        )

    async def _store(
        self,
        gallery: Gallery,
        subject: str | None,
        image: bytes,
        analysis: Analysis,
        embeddings: Sequence[Mapping[str, Embedding]],
    ) -> "_PhotoResult":
        stored, found_faces = await self._find_stored(gallery, embeddings, subject)
        if stored:
            done = await self._complete(stored)
            return _PhotoResult(done.faces, found_faces == len(embeddings) and not done.has_skipped)
        if subject is None:
            raise FaceNotFound("The photo shows no face that is stored in the collection.")
        index = await self._find_face_of(gallery, embeddings, subject)
        return _PhotoResult(await self._add(subject, image, analysis, index), is_complete=True)

    async def _find_stored(
        self, gallery: Gallery, faces: Sequence[Mapping[str, Embedding]], subject: str | None
    ) -> tuple[dict[UUID, Embedding], int]:
        """Find the stored faces that the photo shows, by the similarity of the same image.

        Returns the target recognizer's embedding by stored face id, and how many of the photo's faces are stored.
        """
        stored: dict[UUID, tuple[float, Embedding]] = {}
        found_faces = 0
        for embeddings in faces:
            probe = embeddings[gallery.recognizer]
            matches = await self._search.faces_like(gallery, probe, _MAX_MATCHES, SAME_IMAGE_SIMILARITY)
            candidates = [match for match in matches if subject is None or match.face.subject == subject]
            for candidate in candidates:
                best, _ = stored.get(candidate.face.id, (-1.0, None))
                if candidate.similarity > best:
                    stored[candidate.face.id] = (candidate.similarity, embeddings[self._target])
            found_faces += bool(candidates)
        return {face_id: embedding for face_id, (_, embedding) in stored.items()}, found_faces

    async def _find_face_of(self, gallery: Gallery, faces: Sequence[Mapping[str, Embedding]], subject: str) -> int:
        """Return the index of the face whose best match in the collection is the subject; raises `FaceNotFound`."""
        calibration = self._analyzer.engine.infos[gallery.recognizer].calibration
        threshold = Thresholds.from_policy(calibration, ONE_TO_ONE, 1).match
        matches = []
        for index, embeddings in enumerate(faces):
            probe = embeddings[gallery.recognizer]
            for candidate in await self._search.named_subjects_like(gallery, probe, 1, threshold):
                if candidate.subject == subject:
                    matches.append((candidate.similarity, index))
        if not matches:
            raise FaceNotFound(f"The photo shows no face that matches subject {subject!r}.")
        return max(matches)[1]

    async def _complete(self, embeddings: Mapping[UUID, Embedding]) -> CompletionResult:
        async with self._writing() as writer:
            stored = await writer.faces.find_by_ids(writer.collection_id, list(embeddings), ())
            done = await TemplateCompletion(writer.subjects, writer.templates, writer.consent).add(
                writer.collection_id,
                [face.subject_id for face in stored.values()],
                {face_id: {self._target: embedding} for face_id, embedding in embeddings.items()},
                source=_SOURCE,
            )
            if done.faces:
                await self._record(writer, f"collection:{self._collection}", done.faces)
        return done

    async def _add(self, subject: str, image: bytes, analysis: Analysis, index: int) -> int:
        """Store one face for a subject whose stored faces are of other images; return 0 if it is stored already."""
        face = analysis.faces[index]
        if face.quality.findings:
            raise quality_error(face.quality.findings[0])
        async with self._writing() as writer:
            collection_id = writer.collection_id
            digests = image_digests(self._keyring, (_SOURCE, str(self._tenant_id), str(collection_id)), image)
            await writer.faces.lock_image(collection_id, digests[0])
            row = await writer.subjects.find_row(collection_id, subject, lock=True)
            if row is None or row.is_anonymous:
                raise SubjectNotFound(f"Collection {self._collection!r} has no subject {subject!r}.")
            stored = await writer.faces.list_by_image(collection_id, digests)
            if any(entry.subject_id == row.id and entry.face.recognizer == self._target for entry in stored):
                return 0
            await writer.consent.require(collection_id, subject)
            box = face.box.relative_to(analysis.width, analysis.height)
            origin = FaceOrigin(uuid4(), box, digest=digests[0])
            new = NewFace.of(row.id, face, {self._target: analysis.secondary[index]}, origin)
            await writer.templates.add_all([new], collection_id=collection_id, source=_SOURCE)
            await self._record(writer, writer.trail.subject_target(self._collection, subject), 1)
        return 1

    async def _record(self, writer: "_Writer", target: str, faces: int) -> None:
        # Without an event: the person has no new face, only a template of another recognizer.
        action = AuditAction.FACES_REGISTERED
        details: dict[str, Any] = {"collection": self._collection, "recognizer": self._target}
        await writer.trail.record_at(None, action, target, faces=faces, **details)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator["_Writer"]:
        async with self._database.transaction(self._tenant_id) as session:
            collections = CollectionRepository(session, self._tenant_id)
            subjects = SubjectRepository(session, self._tenant_id)
            yield _Writer(
                require_found(await collections.find_row(self._collection, lock=True), self._collection).id,
                subjects,
                CollectionFaceRepository(session, self._tenant_id),
                TemplateStore(session, self._tenant_id, self._protector),
                ConsentGate(subjects, PolicyRepository(session, self._tenant_id)),
                self._trails.open(session, self._tenant_id, OPERATOR),
            )


@dataclass(frozen=True, slots=True)
class _PhotoResult:
    """How many faces of a photo got a template, and whether all its faces have one now."""

    faces: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class _Writer:
    """The repositories and checks of one transaction, which has locked the collection against deletion."""

    collection_id: UUID
    subjects: SubjectRepository
    faces: CollectionFaceRepository
    templates: TemplateStore
    consent: ConsentGate
    trail: AuditTrail
