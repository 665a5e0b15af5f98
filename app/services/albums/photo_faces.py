"""Find the faces of one waiting photo: read it, analyze it in the background, choose what is stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from app.domain.albums import Keep, WaitingPhoto
from app.domain.collections import Recognizers
from app.domain.faces import Analysis, Embedding, Face, QualityBar, QualityReason, is_reliable
from app.domain.people import FaceOrigin
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.templates import NewFace
from app.services.photos.face_reader import FaceReader, by_recognizer
from app.services.photos.object_stores import ObjectFetcher
from app.services.sightings.matching import ProbeFace

MAX_FACES = 100


@dataclass(frozen=True, slots=True)
class PhotoFaces:
    """The faces of a photo that will be stored, in a picture of this size, and how many more were found."""

    photo: WaitingPhoto
    width: int
    height: int
    faces: list[NewFace] = field(repr=False)
    skipped: int
    found: int
    recognizers: Recognizers
    """Those that computed the embeddings."""
    pictures: dict[UUID, bytes] = field(default_factory=dict, repr=False)
    """A small JPEG of each face by its id, if the album keeps them."""

    def probes(self) -> list[ProbeFace]:
        """Return the faces to look for known people with."""
        return [
            ProbeFace(face.id, self.photo.id, face.embeddings, is_reliable(face.quality.get("score")))
            for face in self.faces
        ]


class PhotoReader:
    """Reads waiting photos.

    Small faces count: the bar is half as strict as for a registration. Faces of unreliable quality are stored too; they
    are found for a review and never match.
    """

    def __init__(self, spool: PhotoSpool, faces: FaceReader, objects: ObjectFetcher) -> None:
        self._spool = spool
        self._objects = objects
        self._faces = faces.in_background()

    @property
    def threads(self) -> int:
        """How many photos are analyzed at the same time."""
        return self._faces.threads

    async def load(self, tenant_id: UUID, photo: WaitingPhoto) -> bytes:
        """Read a photo from the spool, or from the tenant's own object store if it lies there.

        Raises `PhotoLost` or `PhotoStoreUnavailable`; or an `ObjectUnavailable` or `ImageTooLarge`.
        """
        if photo.source is not None:
            bucket, _, name = photo.source.partition("/")
            return await self._objects.fetch(tenant_id, bucket, name)
        return await self._spool.get(tenant_id, photo.id, photo.key_id)

    async def find_faces(self, photo: WaitingPhoto, image: bytes, recognizers: Recognizers) -> PhotoFaces:
        """Find the faces to store; raises an `ImageRefused`."""
        analysis = await self._faces.extract_chosen(image, self._choose, recognizers)
        faces = [
            _describe(photo, analysis, index, embeddings)
            for index, embeddings in zip(analysis.embedded, by_recognizer(analysis, recognizers), strict=True)
        ]
        found = len(analysis.faces) + analysis.left_out
        pictures = dict[UUID, bytes]()
        if photo.keep is Keep.CROPS and faces:
            cut = await self._faces.cut_faces(image, [analysis.faces[index] for index in analysis.embedded])
            pictures = {face.id: picture for face, picture in zip(faces, cut, strict=True)}
        size = analysis.width, analysis.height
        return PhotoFaces(photo, *size, faces, found - len(faces), found, recognizers, pictures)

    def _choose(self, faces: Sequence[Face]) -> list[int]:
        chosen = [index for index, face in enumerate(faces) if self._is_acceptable(face)]
        return chosen[:MAX_FACES]

    def _is_acceptable(self, face: Face) -> bool:
        findings = self._faces.judge(face, QualityBar.LOW)
        return all(finding.reason is QualityReason.UNRELIABLE for finding in findings)


def _describe(photo: WaitingPhoto, analysis: Analysis, index: int, embeddings: dict[str, Embedding]) -> NewFace:
    face = analysis.faces[index]
    box = face.box.relative_to(analysis.width, analysis.height)
    origin = FaceOrigin(photo.id, box, photo.external_id)
    return NewFace.of(uuid4(), face, embeddings, origin)
