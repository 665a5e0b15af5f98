"""Collections: create, list, tune and erase them, and their stored faces."""

from collections.abc import AsyncIterator, Sequence

from vultus_client._async.transport import AsyncResource
from vultus_client.calls import Call, body, keyed, path
from vultus_client.models import CollectionFaceOut, CollectionOut, PoolOut, ReceiptOut, RecognizersOut


class AsyncCollections(AsyncResource):
    """Named sets of subjects; what a search covers."""

    async def create(self, name: str, *, idempotency_key: str | None = None) -> CollectionOut:
        """Create a collection. Raises `problems.CollectionExists`."""
        return await self._send(
            keyed(Call[CollectionOut]("POST", "/collections", body={"name": name}), idempotency_key)
        )

    def list(self) -> AsyncIterator[CollectionOut]:
        """Yield all collections that the caller can reach."""
        return self._pages(Call[CollectionOut]("GET", "/collections"))

    async def get(self, name: str) -> CollectionOut:
        """Return a collection with its counts and thresholds."""
        return await self._send(Call[CollectionOut]("GET", path("collections", name)))

    async def delete(self, name: str) -> None:
        """Erase a collection with everybody in it."""
        await self._send(keyed(Call[None]("DELETE", path("collections", name))))

    async def set_policy(
        self, name: str, *, max_false_match_rate: float, review_false_match_rate: float | None = None
    ) -> CollectionOut:
        """Set the false-match rate from which a decision is `match`, and `review`."""
        sent = body(max_false_match_rate=max_false_match_rate, review_false_match_rate=review_false_match_rate)
        return await self._send(Call[CollectionOut]("PUT", path("collections", name, "policy"), body=sent))

    async def calibrate(self, name: str) -> CollectionOut:
        """Derive the rates of decisions from the people in the collection."""
        call = Call[CollectionOut]("POST", path("collections", name, "calibration"), can_repeat=True)
        return await self._send(call)

    async def recognizers(self, name: str) -> RecognizersOut:
        """Return the recognizers of a collection and how many subjects each covers."""
        return await self._send(Call[RecognizersOut]("GET", path("collections", name, "recognizers")))

    def faces(
        self, name: str, *, external_image_id: str | None = None, image_id: str | None = None
    ) -> AsyncIterator[CollectionFaceOut]:
        """Yield the stored faces, oldest first, or only those of a photo."""
        query = {"external_image_id": external_image_id, "image_id": image_id}
        return self._pages(Call[CollectionFaceOut]("GET", path("collections", name, "faces"), query=query))

    async def delete_faces(
        self, name: str, *, external_image_id: str | None = None, image_id: str | None = None
    ) -> ReceiptOut:
        """Erase the faces of a photo, whoever they belong to; returns a signed receipt."""
        query = {"external_image_id": external_image_id, "image_id": image_id}
        return await self._send(keyed(Call[ReceiptOut]("DELETE", path("collections", name, "faces"), query=query)))

    async def set_pool(
        self, name: str, *, people: Sequence[str] | None = None, retain_days: int | None = None
    ) -> PoolOut:
        """Match and group the collection's own anonymous faces."""
        sent = body(people=None if people is None else [*people], retain_days=retain_days)
        return await self._send(Call[PoolOut]("PUT", path("collections", name, "pool"), body=sent))

    async def delete_pool(self, name: str) -> None:
        """Stop matching and grouping anonymous faces."""
        await self._send(Call[None]("DELETE", path("collections", name, "pool")))
