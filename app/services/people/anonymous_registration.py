"""Register all faces of a photo without naming anybody: each face is stored for an anonymous subject."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from app.domain.collections import Recognizers
from app.domain.faces import Analysis, Embedding, Face, QualityBar, QualityReason, RelativeBox
from app.domain.people import CollectionFace, FaceOrigin
from app.permissions import Quota
from app.persistence.repositories.collection_faces import CollectionFaceRepository, GalleryFace
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace
from app.security.image_digests import image_digests
from app.security.keyring import Keyring
from app.services.audit.actions import AuditAction
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.collections.lookup import CollectionLookup
from app.services.people.face_storage import FaceStorage
from app.services.people.rules import anonymous_name
from app.services.people.template_completion import TemplateCompletion
from app.services.photos.face_reader import FaceReader, by_recognizer

_MIN_OVERLAP = 0.9


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face of the photo and its stored record, created by this call or an earlier one."""

    face: Face
    stored: CollectionFace

    @property
    def subject(self) -> str:
        """The id of the face's subject, named or anonymous."""
        return self.stored.subject or anonymous_name(self.stored.id)


@dataclass(frozen=True, slots=True)
class SkippedFace:
    """A face that was not stored: it is below the quality bar, or, without reasons, beyond the maximum number."""

    face: Face
    reasons: tuple[QualityReason, ...]


@dataclass(frozen=True, slots=True)
class PhotoRegistration:
    """The stored and skipped faces of a photo of this size in pixels; `left_out` more were found but not listed."""

    width: int
    height: int
    stored: list[StoredFace]
    skipped: list[SkippedFace]
    left_out: int


@dataclass(frozen=True, slots=True)
class _ChosenFace:
    """A face to store: its index in the photo, its relative box, and its embeddings by recognizer."""

    index: int
    face: Face
    box: RelativeBox
    embeddings: dict[str, Embedding] = field(repr=False)


class AnonymousRegistrationService:
    """Store the faces of a photo for anonymous subjects."""

    def __init__(
        self,
        faces: FaceReader,
        galleries: GalleryLookup,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        stored: CollectionFaceRepository,
        storage: FaceStorage,
        keyring: Keyring,
    ) -> None:
        self._faces = faces
        self._galleries = galleries
        self._collections = collections
        self._subjects = subjects
        self._stored = stored
        self._storage = storage
        self._keyring = keyring

    async def register(
        self,
        image: bytes,
        *,
        collection: str,
        external_image_id: str | None,
        max_faces: int,
        bar: QualityBar,
        with_attributes: bool = False,
    ) -> PhotoRegistration:
        """Store at most `max_faces` faces that reach the bar, preferring good quality, then large faces.

        Idempotent per photo and external id: returns the stored faces and adds templates for recognizers enabled since.
        The faces' attributes are only returned. Raises `CollectionNotFound`, `QuotaExceeded`, `ConsentRequired`, an
        `ImageRefused`, `RecognizerUnavailable` or `RecognizerChanged`.
        """

        def choose(faces: Sequence[Face]) -> list[int]:
            return self._choose(faces, bar, max_faces)

        computed_by = await self._galleries.recognizers(collection)
        analysis = await self._faces.extract_chosen(image, choose, computed_by, with_attributes=with_attributes)
        collection_id, recognizers = await self._collections.lock_for_storing(collection, computed_by)
        chosen = self._describe_chosen(analysis, bar, computed_by, recognizers)
        source = (str(self._stored.tenant_id), str(collection_id), external_image_id or "")
        digests = image_digests(self._keyring, source, image)
        stored = await self._find_stored(collection_id, digests, chosen)
        new, faces = _build_new(chosen, stored, external_image_id, digests[0], recognizers.in_use)
        added = await self._complete(collection_id, stored, chosen, recognizers.all if new else ())
        if new:
            await self._store(collection_id, new)
        if new or added:
            await self._storage.quotas.check(Quota.TEMPLATES)
            await self._record(collection, len(new) + added, [face.id for face in new])
        return PhotoRegistration(
            analysis.width,
            analysis.height,
            [StoredFace(chosen_face.face, faces[chosen_face.index]) for chosen_face in chosen],
            self._list_skipped(analysis, set(faces), bar),
            analysis.left_out,
        )

    def _choose(self, faces: Sequence[Face], bar: QualityBar, max_faces: int) -> list[int]:
        acceptable = [index for index, face in enumerate(faces) if not self._faces.judge(face, bar)]
        acceptable.sort(key=lambda index: (bool(faces[index].quality.findings), -faces[index].box.area))
        return acceptable[:max_faces]

    def _describe_chosen(
        self, analysis: Analysis, bar: QualityBar, computed_by: Recognizers, recognizers: Recognizers
    ) -> list[_ChosenFace]:
        """Describe the embedded faces that still reach the bar, with the collection's recognizers only.

        The quality score is known only once a face is embedded.
        """
        return [
            _ChosenFace(
                index,
                analysis.faces[index],
                analysis.faces[index].box.relative_to(analysis.width, analysis.height),
                {name: embeddings[name] for name in recognizers.all},
            )
            for index, embeddings in zip(analysis.embedded, by_recognizer(analysis, computed_by), strict=True)
            if not self._faces.judge(analysis.faces[index], bar)
        ]

    async def _find_stored(
        self, collection_id: UUID, digests: Sequence[bytes], chosen: Sequence[_ChosenFace]
    ) -> dict[int, list[GalleryFace]]:
        """Lock the image, and find the templates of chosen faces that are stored already, by index."""
        if not chosen:
            return {}
        await self._stored.lock_image(collection_id, digests[0])
        entries = await self._stored.list_by_image(collection_id, digests)
        stored = {}
        for face in chosen:
            same = next((entry for entry in entries if entry.face.box and _is_same(entry.face.box, face.box)), None)
            if same is not None:
                stored[face.index] = [entry for entry in entries if entry.face.id == same.face.id]
        return stored

    async def _complete(
        self,
        collection_id: UUID,
        stored: dict[int, list[GalleryFace]],
        chosen: Sequence[_ChosenFace],
        also_into: Sequence[str],
    ) -> int:
        """Add templates of recognizers that have not embedded the stored faces; return the number of faces."""
        embeddings = {face.index: face.embeddings for face in chosen}
        owners, missing = set[UUID](), dict[UUID, dict[str, Embedding]]()
        for index, entries in stored.items():
            names = set(embeddings[index]) - {entry.face.recognizer for entry in entries}
            if names:
                owners.add(entries[0].subject_id)
                missing[entries[0].face.id] = {name: embeddings[index][name] for name in names}
        if not missing:
            return 0
        completion = TemplateCompletion(self._subjects, self._storage.templates, self._storage.consent)
        done = await completion.add(collection_id, list(owners), missing, source="register", also_into=also_into)
        return done.faces

    async def _store(self, collection_id: UUID, new: list[NewFace]) -> None:
        await self._storage.consent.require_for_anonymous()
        await self._subjects.add_anonymous(collection_id, {face.subject_id: anonymous_name(face.id) for face in new})
        await self._storage.templates.add_all(new, collection_id=collection_id, source="register")
        photo_ids = {face.id: face.origin.image_id for face in new if face.origin and face.origin.image_id}
        await self._storage.pools.add(collection_id, photo_ids)

    async def _record(self, collection: str, faces: int, new: Sequence[UUID]) -> None:
        target, ids = f"collection:{collection}", {"face_ids": [str(face_id) for face_id in new]}
        await self._storage.trail.record(
            AuditAction.FACES_REGISTERED, target, ids=ids, collection=collection, faces=faces
        )

    def _list_skipped(self, analysis: Analysis, stored: set[int], bar: QualityBar) -> list[SkippedFace]:
        return [
            SkippedFace(face, tuple(finding.reason for finding in self._faces.judge(face, bar)))
            for index, face in enumerate(analysis.faces)
            if index not in stored
        ]


def _build_new(
    chosen: Sequence[_ChosenFace],
    stored: dict[int, list[GalleryFace]],
    external_image_id: str | None,
    digest: bytes,
    in_use: str,
) -> tuple[list[NewFace], dict[int, CollectionFace]]:
    """Build the faces that are not stored yet; also return the records of all chosen faces, by index."""
    records = {index: entries[0].face for index, entries in stored.items()}
    image_id = next((record.image_id for record in records.values() if record.image_id), None) or uuid4()
    new = list[NewFace]()
    for face in chosen:
        if face.index not in stored:
            origin = FaceOrigin(image_id, face.box, external_image_id, digest)
            new.append(NewFace.of(uuid4(), face.face, face.embeddings, origin))
            records[face.index] = CollectionFace(
                new[-1].id, in_use, new[-1].detection_score, image_id, external_image_id, face.box, None
            )
    return new, records


def _is_same(box: RelativeBox, other: RelativeBox) -> bool:
    """Return whether two boxes show the same face: their intersection over union is at least `_MIN_OVERLAP`."""
    shared = box.shared_area(other)
    return shared >= _MIN_OVERLAP * (box.area + other.area - shared)
