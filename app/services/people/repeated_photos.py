"""Recognize photos that are sent again for the same subject: each face of a photo is stored once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from app.domain.faces import RelativeBox
from app.persistence.repositories.repeated_faces import RepeatedFaceRepository, StoredPhotoFace
from app.persistence.repositories.templates import describe_quality
from app.security.image_digests import image_digests
from app.security.keyring import Keyring
from app.services.photos.face_reader import FoundFace

_SAME_COORDINATE = 1e-4
"""Boxes are stored with six digits."""


@dataclass(frozen=True, slots=True)
class SentPhoto:
    """A photo of a subject and its face; `digests` has one digest for each of the service's secrets, newest first."""

    face: FoundFace
    digests: list[bytes] = field(repr=False)


class RepeatedPhotos:
    """Finds a subject's faces that are stored from the same photos, and rates those stored without a quality score.

    A photo is the same if its bytes are. Faces stored before photos had digests are known by their box and detection
    score: a photo whose face has exactly the same ones is the same picture.
    """

    def __init__(self, rows: RepeatedFaceRepository, keyring: Keyring) -> None:
        self._rows = rows
        self._keyring = keyring

    def describe(self, subject_id: UUID, image: bytes, face: FoundFace) -> SentPhoto:
        """Compute the photo's digests, which are comparable within the subject."""
        about = (str(self._rows.tenant_id), "subject", str(subject_id))
        return SentPhoto(face, image_digests(self._keyring, about, image))

    async def find(
        self, subject_id: UUID, photos: Sequence[SentPhoto], stored: Sequence[StoredPhotoFace] | None
    ) -> list[StoredPhotoFace | None]:
        """Find the stored face of each photo among these; None: read them. Lock the subject first."""
        if stored is None:
            digests = [digest for photo in photos for digest in photo.digests]
            scores = [photo.face.face.detection_score for photo in photos]
            stored = await self._rows.list_like(subject_id, digests, scores)
        return [next((face for face in stored if _is_from(face, photo)), None) for photo in photos]

    async def rate(self, known: Sequence[StoredPhotoFace | None], photos: Sequence[SentPhoto]) -> None:
        """Add the quality to faces that were stored without a quality score. Lock their galleries first."""
        for stored, photo in zip(known, photos, strict=True):
            if stored is not None and not stored.has_score and photo.face.face.quality.score is not None:
                await self._rows.rate(stored.id, describe_quality(photo.face.face))

    async def name(
        self, known: Sequence[StoredPhotoFace | None], external_image_id: str | None
    ) -> list[StoredPhotoFace | None]:
        """Add the caller's id for the photo to faces that have none. Lock their galleries first."""
        named = list(known)
        for index, stored in enumerate(known):
            if external_image_id is not None and stored is not None and stored.origin.external_image_id is None:
                await self._rows.name_photo(stored.id, external_image_id)
                origin = replace(stored.origin, external_image_id=external_image_id)
                named[index] = replace(stored, origin=origin)
        return named


def _is_from(stored: StoredPhotoFace, photo: SentPhoto) -> bool:
    if stored.origin.digest in photo.digests:
        return True
    same_score = stored.detection_score == photo.face.face.detection_score
    return same_score and stored.origin.box is not None and _is_same(stored.origin.box, photo.face.box)


def _is_same(box: RelativeBox, other: RelativeBox) -> bool:
    differences = (box.left - other.left, box.top - other.top, box.width - other.width, box.height - other.height)
    return max(abs(difference) for difference in differences) < _SAME_COORDINATE
