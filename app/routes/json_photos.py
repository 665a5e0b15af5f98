"""Read JSON bodies with images: the fields of the form, and each image as base64, as a data URI or by its URL."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

from app.errors import InvalidParameter, RequestRefused
from app.routes.photo_fields import PhotoFields, SentImage
from app.schemas.json_documents import parse_json
from app.services.photos.image_urls import ImageUrl

SMALL_BYTES = 64 * 1024
"""Larger bodies are decoded in a thread, so that other requests do not wait for them."""

_MAX_PARTS = 20_000
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


async def read_json_photos(
    body: bytes, photos: PhotoFields, fields: Mapping[str, FieldInfo]
) -> tuple[dict[str, Any], dict[str, list[SentImage]]]:
    """Return the text fields that are not null, and the decoded images and URLs by field.

    A field for one image is a string, a field for more an array of strings. Raises `RequestRefused` for malformed JSON,
    `BatchRouteNeeded`, and `InvalidParameter` for an image that is not base64 or was sent in a field that is neither an
    image field nor one of `fields`.
    """
    if len(body) <= SMALL_BYTES:
        return _read(body, photos, fields)
    return await asyncio.to_thread(_read, body, photos, fields)


def _read(
    body: bytes, photos: PhotoFields, fields: Mapping[str, FieldInfo]
) -> tuple[dict[str, Any], dict[str, list[SentImage]]]:
    sent = {name: value for name, value in parse_object(body).items() if value is not None}
    for name in sent:
        photos.check_name(name)
    images: dict[str, list[SentImage]] = {
        name: _decode_field(name, sent[name], limit, _decode) for name, limit in photos.counts.items() if name in sent
    }
    images |= {
        name: _decode_field(name, sent[name], limit, _read_url)
        for name, limit in photos.url_counts.items()
        if name in sent
    }
    others = {name: value for name, value in sent.items() if name not in images}
    _check_numbers(others, fields)
    unknown = next((name for name in others if name not in fields), None)
    if unknown is not None and not images:
        name, known = unknown[:64], " and ".join(f"`{field}`" for field in photos.counts)
        raise InvalidParameter(f"{name}: this route takes no image in this field, only in {known}.", field=name)
    return others, images


def _check_numbers(sent: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> None:
    """Refuse numbers that were sent as text, which only forms have to do."""
    for name, value in sent.items():
        if isinstance(value, str | bool) and name in fields and _is_number(fields[name].annotation):
            raise InvalidParameter(f"{name}: must be a number, not text or a truth value.", field=name)


def _is_number(annotation: Any) -> bool:
    return annotation in (int, float) or any(_is_number(part) for part in get_args(annotation))


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON body that must be an object; raises `RequestRefused`."""
    if len(body) > SMALL_BYTES and sum(body.count(mark) for mark in (b",", b":", b"[", b"{")) > _MAX_PARTS:
        # Parsed, they would take many times the memory of the body.
        raise RequestRefused(f"The JSON body has more than {_MAX_PARTS} commas, colons and brackets.")
    try:
        value = parse_json(body.decode("utf-8-sig"))
    except RecursionError:
        raise RequestRefused("The JSON body is nested too deeply.") from None
    except json.JSONDecodeError as exc:
        raise RequestRefused(f"The body is not valid JSON (error at character {exc.pos}).") from None
    except ValueError:  # not UTF-8, or an integer of thousands of digits
        raise RequestRefused("The body is not valid JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise RequestRefused("The JSON body must be an object.")
    return value


def _decode_field(
    field: str, value: object, limit: int, decode: Callable[[str, object, int | None], SentImage]
) -> list[SentImage]:
    if limit == 1:
        return [decode(field, value, None)]
    if not isinstance(value, list):
        raise InvalidParameter(f"{field}: must be an array of images, each as a string.", field=field)
    return [decode(field, item, index) for index, item in enumerate(value)]


def _read_url(field: str, value: object, index: int | None = None) -> ImageUrl:
    if not isinstance(value, str):
        where = field if index is None else f"{field}[{index}]"
        raise InvalidParameter(f"{where}: must be a string: the URL of an image.", field=field, index=index)
    return ImageUrl(value)


def _decode(field: str, value: object, index: int | None = None) -> bytes:
    """Decode base64 of either alphabet, with or without padding and line breaks."""
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
