"""Registering everybody in a photo, without saying who they are: each face is stored as an anonymous subject's."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from app.domain import CollectionFace, Face, FaceOrigin, QualityBar, QualityReason, RelativeBox
from app.permissions import Quota
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.security.image_digests import image_digests
from app.security.keyring import Keyring
from app.services.audit import AuditAction, AuditTrail
from app.services.collections import require_collection
from app.services.consent import ConsentGate
from app.services.faces import FaceReader
from app.services.quotas import QuotaService
from app.services.registration import RESERVED

_SAME_PLACE = 0.9


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face of the photo and what is stored of it, now or before."""

    face: Face
    stored: CollectionFace


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A face of the photo that was not stored: it is below the bar, or there were enough better ones (no reasons)."""

    face: Face
    reasons: tuple[QualityReason, ...]


@dataclass(frozen=True, slots=True)
class PhotoRegistration:
    """What became of the faces of a photo of this size."""

    width: int
    height: int
    stored: list[StoredFace]
    passed_over: list[PassedOver]


class PhotoRegistrationService:
    """Stores the faces of a photo."""

    def __init__(
        self,
        faces: FaceReader,
        collections: CollectionRepository,
        subjects: SubjectRepository,
        stored: CollectionFaceRepository,
        templates: TemplateStore,
        consent_gate: ConsentGate,
        quotas: QuotaService,
        trail: AuditTrail,
        keyring: Keyring,
    ) -> None:
        self._faces = faces
        self._collections = collections
        self._subjects = subjects
        self._stored = stored
        self._templates = templates
        self._consent = consent_gate
        self._quotas = quotas
        self._trail = trail
        self._keyring = keyring

    async def register(
        self, image: bytes, *, collection: str, external_image_id: str | None, most: int, bar: QualityBar
    ) -> PhotoRegistration:
        """Store the faces that reach the bar, at most `most`: those good enough to register first, then the largest.

        The very same photo under the same external id is not stored twice: its faces of before are answered. Raises
        `CollectionNotFound`, `QuotaExceeded`, `ConsentRequired`, an `ImageRefused`.
        """

        def choose(faces: Sequence[Face]) -> list[int]:
            fit = [index for index, face in enumerate(faces) if not self._faces.judge(face, bar)]
            return sorted(fit, key=lambda index: (bool(faces[index].quality.findings), -faces[index].box.area))[:most]

        analysis = await self._faces.extract_chosen(image, choose)
        chosen = choose(analysis.faces)
        collection_id = await require_collection(self._collections, collection, hold=True)
        boxes = {
            index: face.box.relative_to(analysis.width, analysis.height) for index, face in enumerate(analysis.faces)
        }
        about = (str(self._stored.tenant_id), str(collection_id), external_image_id or "")
        digests = image_digests(self._keyring, about, image)
        known = await self._known_of(collection_id, digests, boxes, chosen)
        new = [
            (index, embedding)
            for index, embedding in zip(chosen, analysis.embeddings, strict=True)
            if index not in known
        ]
        if new:
            image_id = next((face.image_id for face in known.values() if face.image_id), None) or uuid4()
            rows = [
                NewFace.of(
                    uuid4(), analysis.faces[index], embedding,
                    FaceOrigin(image_id, boxes[index], external_image_id, digests[0]),
                )
                for index, embedding in new
            ]  # fmt: skip
            await self._store(collection_id, collection, rows)
            for (index, _), row in zip(new, rows, strict=True):
                known[index] = CollectionFace(
                    row.id, self._faces.engine.recognizer, row.detection_score, image_id, external_image_id,
                    boxes[index], None,
                )  # fmt: skip
        return PhotoRegistration(
            analysis.width,
            analysis.height,
            [StoredFace(analysis.faces[index], known[index]) for index in chosen],
            [
                PassedOver(face, tuple(finding.reason for finding in self._faces.judge(face, bar)))
                for index, face in enumerate(analysis.faces)
                if index not in chosen
            ],
        )

    async def _known_of(
        self, collection_id: UUID, digests: Sequence[bytes], boxes: dict[int, RelativeBox], chosen: Sequence[int]
    ) -> dict[int, CollectionFace]:
        """Which of the chosen faces are stored already."""
        if not chosen:
            return {}
        await self._stored.lock_image(collection_id, digests[0])
        before = [
            face
            for face in await self._stored.find_of_image(collection_id, digests)
            if face.recognizer == self._faces.engine.recognizer
        ]
        known = {}
        for index in chosen:
            same = next((face for face in before if face.box is not None and _is_same(face.box, boxes[index])), None)
            if same is not None:
                known[index] = same
        return known

    async def _store(self, collection_id: UUID, collection: str, rows: list[NewFace]) -> None:
        await self._consent.demand_of_nobody_known()
        await self._subjects.add_anonymous(collection_id, {row.subject_id: anonymous_name(row.id) for row in rows})
        await self._templates.add_all(
            rows, collection_id=collection_id, recognizer=self._faces.engine.recognizer, source="register"
        )
        await self._quotas.check(Quota.TEMPLATES)
        await self._trail.record(
            AuditAction.FACES_REGISTERED, f"collection:{collection}", collection=collection, faces=len(rows)
        )


def anonymous_name(face_id: UUID) -> str:
    """The id of the subject that stands for a face of nobody known; no other can have it."""
    return f"{RESERVED}{face_id}"


def _is_same(one: RelativeBox, other: RelativeBox) -> bool:
    """Whether the boxes overlap by nine tenths of what they cover together: detection finds the same place again."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    shared = max(0.0, width) * max(0.0, height)
    return shared >= _SAME_PLACE * (one.width * one.height + other.width * other.height - shared)
