"""Register, recognize, verify, compare, detect, extract and search."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from vultus_client._async.transport import AsyncResource
from vultus_client.calls import Call, body, keyed, list_photos, path, reading, with_photos
from vultus_client.models import (
    CompareBatchOut,
    CompareOut,
    DetectOut,
    ExtractBatchOut,
    ExtractOut,
    RecognizeBatchOut,
    RecognizeOut,
    RegisterAllOut,
    RegisterOut,
    SearchOut,
    VerifyOut,
)
from vultus_client.photos import Photo

Detail = Literal["fast", "standard", "thorough"]
Face = Literal["only", "largest"]


class AsyncRecognition(AsyncResource):
    """What takes photos. Without a collection, the server uses `default`."""

    async def register(
        self,
        subject: str,
        photos: Photo | Sequence[Photo],
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        collection: str | None = None,
        face: Face | None = None,
        consent: str | None = None,
        expires_at: datetime | None = None,
        external_image_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> RegisterOut:
        """Store the face of each photo for a subject, under your id. A lost answer is asked for again safely."""
        fields = {"name": name, "metadata": metadata, "collection": collection, "face": face, "consent": consent}
        dated = {"expires_at": expires_at, "external_image_id": external_image_id}
        images = {"images": list_photos(photos)}
        call: Call[RegisterOut] = with_photos("/register", images, subject=subject, **fields, **dated)
        return await self._send(keyed(call, idempotency_key))

    async def register_all(
        self,
        photo: Photo,
        *,
        collection: str | None = None,
        external_image_id: str | None = None,
        limit: int | None = None,
        quality: Literal["none", "low", "auto", "medium", "high"] | None = None,
        idempotency_key: str | None = None,
    ) -> RegisterAllOut:
        """Store every face of a photo as an anonymous subject."""
        fields = {"external_image_id": external_image_id, "limit": limit, "quality": quality}
        call: Call[RegisterAllOut] = with_photos("/register/all", {"image": photo}, collection=collection, **fields)
        return await self._send(keyed(call, idempotency_key))

    async def recognize(
        self,
        photo: Photo,
        *,
        collection: str | None = None,
        limit: int | None = None,
        threshold: float | None = None,
        detail: Detail | None = None,
    ) -> RecognizeOut:
        """Return every face of a photo, the largest first, with its candidates, the most similar first."""
        fields = {"limit": limit, "threshold": threshold, "detail": detail}
        return await self._send(reading("/recognize", {"image": photo}, collection=collection, **fields))

    async def recognize_batch(
        self,
        photos: Sequence[Photo],
        *,
        collection: str | None = None,
        limit: int | None = None,
        threshold: float | None = None,
        detail: Detail | None = None,
    ) -> RecognizeBatchOut:
        """Return an answer or a problem for each of up to 20 photos."""
        fields = {"limit": limit, "threshold": threshold, "detail": detail}
        return await self._send(reading("/recognize/batch", {"images": list(photos)}, collection=collection, **fields))

    async def verify(
        self,
        subject: str,
        photo: Photo,
        *,
        collection: str | None = None,
        threshold: float | None = None,
        face: Face | None = None,
    ) -> VerifyOut:
        """Return whether a photo shows this subject."""
        fields = {"collection": collection, "threshold": threshold, "face": face}
        return await self._send(reading("/verify", {"image": photo}, subject=subject, **fields))

    async def compare(self, source: Photo, target: Photo, *, threshold: float | None = None) -> CompareOut:
        """Compare the face of one photo with those of another; nothing is stored."""
        return await self._send(reading("/compare", {"source": source, "target": target}, threshold=threshold))

    async def compare_batch(
        self, source: Photo, targets: Sequence[Photo], *, threshold: float | None = None
    ) -> CompareBatchOut:
        """Compare the face of one photo with those of up to 20 others."""
        photos = {"source": source, "targets": list(targets)}
        return await self._send(reading("/compare/batch", photos, threshold=threshold))

    async def detect(self, photo: Photo, *, detail: Detail | None = None) -> DetectOut:
        """Return the faces of a photo with boxes, landmarks and quality; nothing is stored."""
        return await self._send(reading("/detect", {"image": photo}, detail=detail))

    async def extract(self, photo: Photo, *, detail: Detail | None = None, recognizer: str | None = None) -> ExtractOut:
        """Return the faces of a photo with their embeddings; nothing is stored."""
        return await self._send(reading("/extract", {"image": photo}, detail=detail, recognizer=recognizer))

    async def extract_batch(
        self, photos: Sequence[Photo], *, detail: Detail | None = None, recognizer: str | None = None
    ) -> ExtractBatchOut:
        """Return the faces of up to 20 photos with their embeddings."""
        return await self._send(
            reading("/extract/batch", {"images": list(photos)}, detail=detail, recognizer=recognizer)
        )

    async def search(
        self,
        embedding: Sequence[float],
        *,
        recognizer: str,
        collection: str = "default",
        limit: int | None = None,
        threshold: float | None = None,
    ) -> SearchOut:
        """Search a collection by an embedding, which `extract` returns with the name of its recognizer."""
        sent = body(embedding=list(embedding), recognizer=recognizer, limit=limit, threshold=threshold)
        return await self._send(Call("POST", path("collections", collection, "search"), body=sent, can_repeat=True))
