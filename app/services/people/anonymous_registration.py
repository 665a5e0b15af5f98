"""Registering everybody in a photo, without saying who they are: each face is stored as an anonymous subject's."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from app.domain.faces import Embedding, Face, QualityBar, QualityReason, RelativeBox
from app.domain.people import CollectionFace, FaceOrigin
from app.permissions import Quota
from app.persistence.repositories.collection_faces import CollectionFaceRepository, GalleryFace
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace
from app.security.image_digests import image_digests
from app.security.keyring import Keyring
from app.services.audit.trail import AuditAction
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.collections.lookup import CollectionLookup
from app.services.people.face_storage import FaceStorage
from app.services.people.registration import RESERVED
from app.services.people.template_completion import TemplateCompletion
from app.services.photos.face_reader import FaceReader, by_recognizer

_SAME_PLACE = 0.9


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face of the photo and what is stored of it, now or before."""

    face: Face
    stored: CollectionFace

    @property
    def subject(self) -> str:
        """Whose it is: somebody who was named, or the subject that stands for it."""
        return self.stored.subject or anonymous_name(self.stored.id)


@dataclass(frozen=True, slots=True)
class SkippedFace:
    """A face of the photo that was not stored: it is below the bar, or there were enough better ones (no reasons)."""

    face: Face
    reasons: tuple[QualityReason, ...]


@dataclass(frozen=True, slots=True)
class PhotoRegistration:
    """What became of the faces of a photo of this size."""

    width: int
    height: int
    stored: list[StoredFace]
    skipped: list[SkippedFace]


class AnonymousRegistrationService:
    """Stores the faces of a photo."""

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
        self, image: bytes, *, collection: str, external_image_id: str | None, most: int, bar: QualityBar
    ) -> PhotoRegistration:
        """Store the faces that reach the bar, at most `most`: those good enough to register first, then the largest.

        The very same photo under the same external id is not stored twice: its faces of before are answered, and get
        what a recognizer that is wanted by now makes of them. Raises `CollectionNotFound`, `QuotaExceeded`,
        `ConsentRequired`, an `ImageRefused`, `RecognizerUnavailable`, `RecognizerChanged`.
        """

        def choose(faces: Sequence[Face]) -> list[int]:
            fit = [index for index, face in enumerate(faces) if not self._faces.judge(face, bar)]
            return sorted(fit, key=lambda index: (bool(faces[index].quality.findings), -faces[index].box.area))[:most]

        made_by = await self._galleries.recognizers(collection)
        analysis = await self._faces.extract_chosen(image, choose, made_by)
        chosen = choose(analysis.faces)
        collection_id, wanted = await self._collections.lock_for_storing(collection, made_by)
        embeddings = {
            index: {name: own[name] for name in wanted.all}
            for index, own in zip(chosen, by_recognizer(analysis, made_by), strict=True)
        }
        boxes = {
            index: face.box.relative_to(analysis.width, analysis.height) for index, face in enumerate(analysis.faces)
        }
        about = (str(self._stored.tenant_id), str(collection_id), external_image_id or "")
        digests = image_digests(self._keyring, about, image)
        before = await self._known_of(collection_id, digests, boxes, chosen)
        known = {index: own[0].face for index, own in before.items()}
        image_id = next((face.image_id for face in known.values() if face.image_id), None) or uuid4()
        new = list[NewFace]()
        for index in chosen:
            if index not in before:
                origin = FaceOrigin(image_id, boxes[index], external_image_id, digests[0])
                new.append(NewFace.of(uuid4(), analysis.faces[index], embeddings[index], origin))
                known[index] = CollectionFace(
                    new[-1].id, wanted.in_use, new[-1].detection_score, image_id, external_image_id, boxes[index], None
                )
        added = await self._complete(collection_id, before, embeddings, wanted.all if new else ())
        if new:
            await self._store(collection_id, new)
        if new or added:
            await self._storage.quotas.check(Quota.TEMPLATES)
            faces = len(new) + added
            target = f"collection:{collection}"
            await self._storage.trail.record(AuditAction.FACES_REGISTERED, target, collection=collection, faces=faces)
        return PhotoRegistration(
            analysis.width,
            analysis.height,
            [StoredFace(analysis.faces[index], known[index]) for index in chosen],
            [
                SkippedFace(face, tuple(finding.reason for finding in self._faces.judge(face, bar)))
                for index, face in enumerate(analysis.faces)
                if index not in chosen
            ],
        )

    async def _known_of(
        self, collection_id: UUID, digests: Sequence[bytes], boxes: dict[int, RelativeBox], chosen: Sequence[int]
    ) -> dict[int, list[GalleryFace]]:
        """Which of the chosen faces are stored already, with what each recognizer made of them."""
        if not chosen:
            return {}
        await self._stored.lock_image(collection_id, digests[0])
        before = await self._stored.find_of_image(collection_id, digests)
        known = {}
        for index in chosen:
            same = next((one for one in before if one.face.box and _is_same(one.face.box, boxes[index])), None)
            if same is not None:
                known[index] = [one for one in before if one.face.id == same.face.id]
        return known

    async def _complete(
        self,
        collection_id: UUID,
        before: dict[int, list[GalleryFace]],
        embeddings: dict[int, dict[str, Embedding]],
        also_into: Sequence[str],
    ) -> int:
        """Store what recognizers that are wanted by now make of faces that others embedded before; of how many."""
        owners, missing = set[UUID](), dict[UUID, dict[str, Embedding]]()
        for index, own in before.items():
            names = set(embeddings[index]) - {one.face.recognizer for one in own}
            if names:
                owners.add(own[0].subject_id)
                missing[own[0].face.id] = {name: embeddings[index][name] for name in names}
        if not missing:
            return 0
        completion = TemplateCompletion(self._subjects, self._storage.templates, self._storage.consent)
        done = await completion.add(collection_id, list(owners), missing, source="register", also_into=also_into)
        return done.faces

    async def _store(self, collection_id: UUID, new: list[NewFace]) -> None:
        await self._storage.consent.require_for_anonymous()
        await self._subjects.add_anonymous(collection_id, {face.subject_id: anonymous_name(face.id) for face in new})
        await self._storage.templates.add_all(new, collection_id=collection_id, source="register")


def anonymous_name(face_id: UUID) -> str:
    """The id of the subject that stands for a face of nobody known; no other can have it."""
    return f"{RESERVED}{face_id}"


def _is_same(one: RelativeBox, other: RelativeBox) -> bool:
    """Whether the boxes overlap by nine tenths of what they cover together: detection finds the same place again."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    shared = max(0.0, width) * max(0.0, height)
    return shared >= _SAME_PLACE * (one.width * one.height + other.width * other.height - shared)
