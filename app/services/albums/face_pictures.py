"""Show a face of an album: its kept picture, or one cut out of the photo in the tenant's own object store."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from app.domain.albums import StoredFacePlace
from app.domain.faces import Analysis, Face, RelativeBox
from app.errors import FaceNotFound
from app.services.albums.photos import AlbumPhotoService
from app.services.photos.face_reader import FaceReader
from app.services.photos.object_stores import ObjectFetcher

_MIN_OVERLAP = 0.5
"""The shared area of two boxes, of the area that they cover together, from which they are of one face."""

OpenPhotos = Callable[[], AbstractAsyncContextManager[AlbumPhotoService]]


class FacePictures:
    """Shows the faces of one caller's albums; holds no database connection while it fetches and cuts.

    A photo of the tenant's object store is fetched each time, and nothing of it is stored.
    """

    def __init__(self, open_photos: OpenPhotos, tenant_id: UUID, faces: FaceReader, objects: ObjectFetcher) -> None:
        self._open_photos = open_photos
        self._tenant_id = tenant_id
        self._faces = faces
        self._objects = objects

    async def get(self, album: str, face_id: UUID) -> bytes:
        """Return a JPEG of a stored face.

        Raises `AlbumNotFound`; `FaceNotFound` if the album has no such face, has no picture of it and no photo to cut
        one out of, or the photo shows another face there by now; `ObjectUnavailable` or an `ImageRefused` if the photo
        cannot be read.
        """
        async with self._open_photos() as photos:
            found = await photos.find_picture(album, face_id)
        if isinstance(found, bytes):
            return found
        bucket, _, name = found.source.partition("/")
        image = await self._objects.fetch(self._tenant_id, bucket, name)
        face = _find_face(await self._faces.extract_chosen(image, lambda _: []), found)
        if face is None:
            raise FaceNotFound(
                f"The photo {found.source!r} in your object store no longer shows face {face_id}.", field="face_id"
            )
        (picture,) = await self._faces.cut_faces(image, [face])
        return picture


def _find_face(analysis: Analysis, place: StoredFacePlace) -> Face | None:
    boxes = [face.box.relative_to(analysis.width, analysis.height) for face in analysis.faces]
    overlaps = [_overlap(box, place.box) for box in boxes]
    best = max(range(len(boxes)), key=overlaps.__getitem__, default=None)
    return analysis.faces[best] if best is not None and overlaps[best] >= _MIN_OVERLAP else None


def _overlap(one: RelativeBox, other: RelativeBox) -> float:
    shared = one.shared_area(other)
    return shared / (one.area + other.area - shared)
