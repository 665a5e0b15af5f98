"""One request of the protocol: its photos, the caller's services and its transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import Request, Response
from pydantic import RootModel

from app.compreface.similarity import SimilarityScales, show_similarity
from app.domain.share_scale import ShareScale
from app.errors import InvalidParameter, PermissionDenied, UnsupportedMediaType
from app.permissions import Permission
from app.server.admission import admit_more
from app.server.disconnects import watch_connection
from app.server.json_bodies import decode_image, parse_document, parse_object
from app.server.multipart import FormReader
from app.server.off_loop import run_off_loop
from app.server.photo_bodies import BASE64_GROWTH, FIELDS_BYTES, feed_form, limited_stream, take_image
from app.server.request_context import IMAGES, counted_change
from app.telemetry import timed
from app.wiring.caller import CallerServices, TransactionServices

Result = dict[str, Any]


class StoredResult(RootModel[Any]):
    """A result that is kept for its idempotency key."""


class Call:
    """An admitted request for the collection of its key."""

    def __init__(
        self,
        request: Request,
        response: Response,
        caller: CallerServices,
        disconnect: "asyncio.Future[None]",
        *,
        collection: str,
        scales: SimilarityScales,
        idempotency_key: str | None,
    ) -> None:
        self.caller = caller
        self.collection = collection
        self._request = request
        self._response = response
        self._disconnect = disconnect
        self._scales = scales
        self._idempotency_key = idempotency_key

    async def recognizer(self) -> str:
        """Return the recognizer of the collection; raises `CollectionNotFound`."""
        return (await self.caller.galleries.find(self.collection)).recognizer

    async def scale(self) -> Callable[[float | None], float]:
        """Return what shows the similarity of a cosine; raises `CollectionNotFound`."""
        scale: ShareScale = self._scales[await self.recognizer()]
        return lambda cosine: show_similarity(scale, cosine)

    async def count_embeddings(self, calls: int = 1) -> None:
        """Count embeddings that leave or enter; raises `PermissionDenied`, or `RateLimited`."""
        principal = self.caller.principal
        if not principal.may(Permission.READ_EMBEDDINGS):
            raise PermissionDenied("face_plugins: the plugin calculator requires a key with the scope embeddings:read.")
        if calls:
            headers = await admit_more(self._request, principal, Permission.READ_EMBEDDINGS, calls)
            self._response.headers.update(headers)

    @asynccontextmanager
    async def photos(self, *fields: str) -> AsyncIterator[list[bytes]]:
        """Read one photo of each field; in the block, the request ends when the client disconnects.

        Raises `InvalidParameter`, `RequestRefused`, `RequestTooLarge` and `UnsupportedMediaType`.
        """
        with timed("receive"):
            photos = await self._read_photos(fields)
        self._request.scope[IMAGES] = len(photos)
        async with watch_connection(self._request, self._disconnect):
            yield photos

    async def body(self) -> Result:
        """Read a JSON object; raises `RequestRefused`."""
        raw = await self._read_body(self._max_plain_bytes())
        return await run_off_loop(len(raw), lambda: parse_object(raw))

    async def document(self) -> Any:
        """Read a JSON document; raises `RequestRefused`."""
        raw = await self._read_body(self._max_plain_bytes())
        return await run_off_loop(len(raw), lambda: parse_document(raw))

    def reading(self) -> AbstractAsyncContextManager[TransactionServices]:
        """Open a transaction that changes nothing."""
        return self.caller.transaction()

    def changing(self) -> AbstractAsyncContextManager[TransactionServices]:
        """Open the request's transaction; it counts the request and commits when the block ends."""
        return counted_change(self._request.scope, self.caller.transaction())

    async def run_once(
        self,
        services: TransactionServices,
        identity: Sequence[str | bytes],
        work: Callable[[], Awaitable[Any]],
        *,
        status: int = 200,
        about: str | None = None,
    ) -> Any:
        """Run the work once per Idempotency-Key; raises `ResponseReplayed` if there is a stored result.

        `identity` is what tells the request from others. `about` is the subject in the result: erasing it erases the
        stored result.
        """

        async def run() -> StoredResult:
            return StoredResult(await work())

        idempotency = services.idempotency(f"compreface:{self._idempotency_key}" if self._idempotency_key else None)
        named = f"{self.collection}/{about}" if about is not None else None
        done = await idempotency.once(("compreface", self.collection, *identity), status, run, about=named)
        return done.root

    def _max_plain_bytes(self) -> int:
        return self.caller.state.settings.max_request_bytes  # `BodyLimit` bounds these paths more narrowly

    async def _read_body(self, limit: int) -> bytes:
        return b"".join([chunk async for chunk in limited_stream(self._request, limit)])

    async def _read_photos(self, fields: Sequence[str]) -> list[bytes]:
        settings = self.caller.state.settings
        content_type = self._request.headers.get("content-type", "")
        images_bytes = len(fields) * settings.max_image_bytes
        match content_type.partition(";")[0].strip().lower():
            case "multipart/form-data":
                found = await self._read_form(
                    content_type, fields, min(settings.max_request_bytes, images_bytes + FIELDS_BYTES)
                )
            case "application/json":
                limit = min(settings.max_request_bytes, int(images_bytes * BASE64_GROWTH) + FIELDS_BYTES)
                raw = await self._read_body(limit)
                found = await run_off_loop(len(raw), lambda: _decode(raw, fields))
            case _:
                raise UnsupportedMediaType(
                    f"The body must be multipart/form-data or application/json, not {content_type[:64] or 'untyped'}."
                )
        missing = next((field for field in fields if field not in found), None)
        if missing is not None:
            raise InvalidParameter(f"{missing}: an image is required.", field=missing)
        return [found[field] for field in fields]

    async def _read_form(self, content_type: str, fields: Sequence[str], limit: int) -> dict[str, bytes]:
        reader = FormReader(content_type, image_fields=fields, max_files=len(fields))
        async for chunk in limited_stream(self._request, limit):
            await feed_form(reader, chunk)
        found: dict[str, bytes] = {}
        for part in reader.finish():
            if not part.is_file or part.is_omitted or part.name not in fields:
                continue
            if part.name in found:
                raise InvalidParameter(f"{part.name}: was sent more than once; send one image.", field=part.name)
            found[part.name] = take_image(part, 0)
        return found


def _decode(raw: bytes, fields: Sequence[str]) -> dict[str, bytes]:
    sent = parse_object(raw)
    return {field: decode_image(field, sent[field]) for field in fields if sent.get(field) is not None}
