"""Receive bodies with photos in memory, within their limits and without stopping the event loop."""

import asyncio
import time
from collections.abc import AsyncGenerator

from starlette.requests import ClientDisconnect, Request

from app.errors import InvalidParameter, RequestRefused
from app.server.body_limits import too_large
from app.server.multipart import FormPart, FormReader, holds_text

FIELDS_BYTES = 64 * 1024
"""Allowed for text fields and part headers, in addition to the images."""
BASE64_GROWTH = 1.4
"""4 characters for 3 bytes, and line breaks."""

_FEED_BYTES = 8 * 1024
_MAX_PARSING_S = 0.001


async def limited_stream(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """Yield the body; raises `RequestTooLarge` beyond the limit, and `RequestRefused` if the client disconnects."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(int(declared), limit)
    seen = 0
    try:
        async for chunk in request.stream():
            seen += len(chunk)
            if seen > limit:
                raise too_large(seen, limit)
            yield chunk
    except ClientDisconnect as exc:
        raise RequestRefused("The client closed the connection before the body was complete.") from exc


async def feed_form(reader: FormReader, chunk: bytes) -> None:
    """Parse a chunk; one with thousands of parts lets other requests run meanwhile."""
    began = time.perf_counter()
    for start in range(0, len(chunk), _FEED_BYTES):
        reader.feed(chunk[start : start + _FEED_BYTES])
        if time.perf_counter() - began > _MAX_PARSING_S:
            await asyncio.sleep(0)
            began = time.perf_counter()


def take_image(part: FormPart, index: int) -> bytes:
    """Return the bytes of a part that is a photo; raises `InvalidParameter` for text without a filename."""
    data = part.take_data()
    if data and not part.has_filename and holds_text(data):
        field = part.name[:64]
        raise InvalidParameter(
            f"{field}: contains {len(data)} bytes of text, not a photo. Send a file, or leave the field out.",
            field=field,
            index=index,
        )
    return data
