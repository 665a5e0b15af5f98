"""Parse JSON bodies that must be objects, and the photos in them."""

import base64
import json
from typing import Any

from app.errors import InvalidParameter, RequestRefused
from app.schemas.json_documents import parse_json

SMALL_BYTES = 64 * 1024
"""Larger bodies are decoded in a thread, so that other requests do not wait for them."""

_MAX_PARTS = 20_000
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON body that must be an object; raises `RequestRefused`."""
    value = parse_document(body)
    if not isinstance(value, dict):
        raise RequestRefused("The JSON body must be an object.")
    return value


def parse_document(body: bytes) -> Any:
    """Parse a JSON body; raises `RequestRefused`."""
    if len(body) > SMALL_BYTES and sum(body.count(mark) for mark in (b",", b":", b"[", b"{")) > _MAX_PARTS:
        # Parsed, they would take many times the memory of the body.
        raise RequestRefused(f"The JSON body has more than {_MAX_PARTS} commas, colons and brackets.")
    try:
        return parse_json(body.decode("utf-8-sig"))
    except RecursionError:
        raise RequestRefused("The JSON body is nested too deeply.") from None
    except json.JSONDecodeError as exc:
        raise RequestRefused(f"The body is not valid JSON (error at character {exc.pos}).") from None
    except ValueError:  # not UTF-8, or an integer of thousands of digits
        raise RequestRefused("The body is not valid JSON in UTF-8.") from None


def decode_image(field: str, value: object, index: int | None = None) -> bytes:
    """Decode base64 of either alphabet, with or without padding and line breaks, or a data URI with it.

    Raises `InvalidParameter` with the field and the index.
    """
    data = value if isinstance(value, str) else None
    if data is not None and data[:5].lower() == "data:":
        media_type, comma, data = data.partition(",")
        data = data if comma and media_type.lower().endswith(";base64") else None
    try:
        raw = b"" if data is None else data.encode("ascii").translate(_FROM_URL_SAFE, b" \t\r\n").rstrip(b"=")
        decoded = base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except ValueError:
        data = None
    if data is None:
        where = field if index is None else f"{field}[{index}]"
        raise InvalidParameter(
            f"{where}: must be a string: the image's bytes as base64, or as a data URI with base64.",
            field=field,
            index=index,
        )
    return decoded
