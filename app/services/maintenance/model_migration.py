"""Storing what another recognizer makes of a collection's faces, from photos that the tenant still has.

Every face that a photo shows is looked up with the recognizer in use: where the very same picture of it is stored, what
the other recognizer makes of it is stored beside it, under the same id. So nobody is registered who was not before, and
no list of who is in which photo is needed. Where a photo's subject is named, another picture of theirs will do, which
the recognizer in use must take for them. Searches go on with the recognizer in use.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from app.domain.collections import Recognizers
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
from app.services.audit.trail import OPERATOR, AuditAction, AuditTrail, AuditTrails
from app.services.collections.collections import require_found
from app.services.people.consent import ConsentGate
from app.services.people.template_completion import CompletionResult, TemplateCompletion
from app.services.photos.face_reader import by_recognizer, refusal
from app.services.retries import retry_transient

SAME_PICTURE = 0.9
"""The cosine from which on two embeddings are of one picture, or of two that no embedding tells apart: a photo sent in
another size or quality reaches it, another photo of the same person hardly ever, a stranger's never
(benchmarks/same_picture.py)."""

_MAX_ALIKE = 1_000
_SOURCE = "migrate"
_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.2
"""Six seconds in all: a database that starts anew is there again by then."""
_MAX_ERASURES = 100
"""Of recognizers in one collection, that are looked through for the last one of this recognizer."""


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """A photo that the tenant still has; `subject` where it is known whose it is."""

    name: str
    read: Callable[[], Awaitable[bytes]]
    subject: str | None = None


@dataclass
class MigrationReport:
    """How many photos were used now and before; how many faces got a template; which photos gave none, and why."""

    used: int = 0
    known: int = 0
    faces: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, taken: "_Taken") -> None:
        """Count a photo that was of use."""
        self.used += taken.faces > 0
        self.known += taken.faces == 0
        self.faces += taken.faces


@dataclass(frozen=True, slots=True)
class MigrationStart:
    """A migration that may go on: the gallery that it goes over from, and since when it is the same migration.

    `since` is the audit trail's number of the last time that the other recognizer's faces of this collection were
    erased, 0 for never: what was noted as done before is not done any more.
    """

    gallery: Gallery
    since: int


@dataclass(frozen=True, slots=True)
class MigrationTarget:
    """The collection that is migrated, and the recognizer it migrates to."""

    tenant_id: UUID
    collection: str
    recognizer: str


class ModelMigration:
    """One collection's way to another recognizer; it can be interrupted and run again."""

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
        """What was done until now."""

    async def run(
        self,
        begun: MigrationStart,
        photos: Iterable[SourcePhoto],
        *,
        threads: int,
        advance: Callable[[SourcePhoto, bool], None],
    ) -> None:
        """Work through the photos; `advance` hears of each whether all that it shows is stored by now.

        A photo that is of no use is reported, and the others go on. Raises what concerns all of them: an `Unavailable`.
        """
        left = iter(photos)

        async def work_off() -> None:
            for photo in left:
                advance(photo, await self._work(begun.gallery, photo))

        lanes = [asyncio.create_task(work_off()) for _ in range(threads)]
        try:
            await asyncio.gather(*lanes)
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)

    async def _work(self, gallery: Gallery, photo: SourcePhoto) -> bool:
        """Whether all that the photo shows is stored by now."""
        try:
            taken = await self._take(gallery, photo)
        except Unavailable:
            raise
        except (AppError, OSError) as exc:
            self.report.failures.append((photo.name, exc.detail if isinstance(exc, AppError) else str(exc)))
            return False
        self.report.add(taken)
        return taken.is_all

    async def begin(self) -> MigrationStart:
        """Put the recognizer beside the one in use: from now on faces are registered with both.

        Raises `CollectionNotFound`, or `InvalidParameter` where there is nothing to go over from.
        """
        async with self._database.transaction(self._tenant_id) as session:
            collections = CollectionRepository(session, self._tenant_id)
            row = require_found(await collections.lock_row(self._collection), self._collection)
            in_use = row.recognizer
            if in_use is None:
                raise InvalidParameter(f"Collection {self._collection!r} has no faces to go over from.")
            if in_use == self._target:
                raise InvalidParameter(f"Collection {self._collection!r} is searched with {in_use!r} already.")
            if in_use not in self._analyzer.engine.infos:
                raise InvalidParameter(
                    f"Collection {self._collection!r} is searched with {in_use!r}, which must be loaded as well: name "
                    f"its pack in VULTUS_MODEL_PACK or VULTUS_EXTRA_MODEL_PACKS."
                )
            if row.secondary_recognizer not in (None, self._target):
                raise InvalidParameter(
                    f"Collection {self._collection!r} is stored with {row.secondary_recognizer!r} as well: "
                    f"end that before (vultus models switch --alone)."
                )
            audit, target = AuditRepository(session, self._tenant_id), f"collection:{self._collection}"
            if row.secondary_recognizer is None:
                await collections.set_recognizers(row.id, Recognizers(in_use, self._target))
                await self._trails.open(session, self._tenant_id, OPERATOR).record(
                    AuditAction.RECOGNIZERS_CHANGED, target, in_use=in_use, secondary=self._target
                )
            erased = await audit.list_page(
                AuditFilter(actions=[AuditAction.RECOGNIZER_ERASED], targets=[target]), None, _MAX_ERASURES
            )
        own = (one.entry.seq for one in erased if one.entry.details.get("recognizer") == self._target)
        return MigrationStart(Gallery(row.id, in_use), next(own, 0))

    async def _take(self, gallery: Gallery, photo: SourcePhoto) -> "_Taken":
        image = await photo.read()
        recognizers = Recognizers(gallery.recognizer, self._target)
        analysis = await asyncio.to_thread(self._analyzer.analyze, image, Embed.ALL, recognizers=recognizers)
        if not analysis.faces:
            raise NoFace
        made = by_recognizer(analysis, recognizers)
        # Only what the database does is done again: what the networks made of the photo stays as it is.
        return await retry_transient(
            lambda: self._store(gallery, photo.subject, image, analysis, made), _ATTEMPTS, pause_s=_FIRST_PAUSE_S
        )

    async def _store(
        self,
        gallery: Gallery,
        subject: str | None,
        image: bytes,
        analysis: Analysis,
        made: Sequence[Mapping[str, Embedding]],
    ) -> "_Taken":
        found, shown = await self._find_stored(gallery, made, subject)
        if found:
            done = await self._complete(found)
            return _Taken(done.faces, shown == len(made) and not done.has_left_out)
        if subject is None:
            raise FaceNotFound("The photo shows no face that is stored in the collection.")
        index = await self._find_named(gallery, made, subject)
        return _Taken(await self._add(subject, image, analysis, index), is_all=True)

    async def _find_stored(
        self, gallery: Gallery, faces: Sequence[Mapping[str, Embedding]], subject: str | None
    ) -> tuple[dict[UUID, Embedding], int]:
        """By the ids of the stored faces that the photo shows: what the other recognizer makes of each.

        And how many of the photo's faces they are.
        """
        found: dict[UUID, tuple[float, Embedding]] = {}
        shown = 0
        for made in faces:
            alike = await self._search.faces_like(gallery, made[gallery.recognizer], _MAX_ALIKE, SAME_PICTURE)
            theirs = [one for one in alike if subject is None or one.face.subject == subject]
            for candidate in theirs:
                best, _ = found.get(candidate.face.id, (-1.0, None))
                if candidate.similarity > best:
                    found[candidate.face.id] = (candidate.similarity, made[self._target])
            shown += bool(theirs)
        return {face_id: embedding for face_id, (_, embedding) in found.items()}, shown

    async def _find_named(self, gallery: Gallery, faces: Sequence[Mapping[str, Embedding]], subject: str) -> int:
        """Which face of the photo the recognizer in use takes for the subject before anybody else."""
        calibration = self._analyzer.engine.infos[gallery.recognizer].calibration
        least = Thresholds.of(calibration, ONE_TO_ONE, 1).match
        theirs = []
        for index, made in enumerate(faces):
            for known in await self._search.named_subjects_like(gallery, made[gallery.recognizer], 1, least):
                if known.subject == subject:
                    theirs.append((known.similarity, index))
        if not theirs:
            raise FaceNotFound(f"The photo shows no face that resembles the faces of subject {subject!r}.")
        return max(theirs)[1]

    async def _complete(self, found: Mapping[UUID, Embedding]) -> CompletionResult:
        async with self._writing() as at:
            held = await at.faces.find_all(at.collection_id, list(found), ())
            done = await TemplateCompletion(at.subjects, at.store, at.consent).add(
                at.collection_id,
                [one.subject_id for one in held.values()],
                {face_id: {self._target: embedding} for face_id, embedding in found.items()},
                source=_SOURCE,
            )
            if done.faces:
                await self._record(at, f"collection:{self._collection}", done.faces)
        return done

    async def _add(self, subject: str, image: bytes, analysis: Analysis, index: int) -> int:
        """Store one face for a subject who has another picture of it for the recognizer in use; 0 if it is there."""
        face = analysis.faces[index]
        if face.quality.findings:
            raise refusal(face.quality.findings[0])
        async with self._writing() as at:
            digests = image_digests(self._keyring, (_SOURCE, str(self._tenant_id), str(at.collection_id)), image)
            await at.faces.lock_image(at.collection_id, digests[0])
            row = await at.subjects.find_row(at.collection_id, subject, lock=True)
            if row is None or row.is_anonymous:
                raise SubjectNotFound(f"Collection {self._collection!r} has no subject {subject!r}.")
            before = await at.faces.find_of_image(at.collection_id, digests)
            if any(one.subject_id == row.id and one.face.recognizer == self._target for one in before):
                return 0
            await at.consent.require(at.collection_id, subject)
            box = face.box.relative_to(analysis.width, analysis.height)
            origin = FaceOrigin(uuid4(), box, digest=digests[0])
            new = NewFace.of(row.id, face, {self._target: analysis.secondary[index]}, origin)
            await at.store.add_all([new], collection_id=at.collection_id, source=_SOURCE)
            await self._record(at, at.trail.name_subject(self._collection, subject), 1)
        return 1

    async def _record(self, at: "_Writing", target: str, faces: int) -> None:
        await at.trail.record(
            AuditAction.FACES_REGISTERED, target, collection=self._collection, faces=faces, recognizer=self._target
        )

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator["_Writing"]:
        async with self._database.transaction(self._tenant_id) as session:
            collections = CollectionRepository(session, self._tenant_id)
            subjects = SubjectRepository(session, self._tenant_id)
            yield _Writing(
                require_found(await collections.find_row(self._collection, lock=True), self._collection).id,
                subjects,
                CollectionFaceRepository(session, self._tenant_id),
                TemplateStore(session, self._tenant_id, self._protector),
                ConsentGate(subjects, PolicyRepository(session, self._tenant_id)),
                self._trails.open(session, self._tenant_id, OPERATOR),
            )


@dataclass(frozen=True, slots=True)
class _Taken:
    """How many faces a photo gave a template, and whether all that it shows have theirs now."""

    faces: int
    is_all: bool


@dataclass(frozen=True, slots=True)
class _Writing:
    """What one transaction writes with; the collection is held."""

    collection_id: UUID
    subjects: SubjectRepository
    faces: CollectionFaceRepository
    store: TemplateStore
    consent: ConsentGate
    trail: AuditTrail
