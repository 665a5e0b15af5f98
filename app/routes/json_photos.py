"""Read JSON bodies with images: the fields of the form, and each image as base64, as a data URI or by its URL."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

from app.errors import InvalidParameter
from app.routes.photo_fields import PhotoFields, SentImage
from app.server.json_bodies import SMALL_BYTES, decode_image, parse_object
from app.services.photos.image_urls import ImageUrl


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
        name: _decode_field(name, sent[name], limit, decode_image)
        for name, limit in photos.counts.items()
        if name in sent
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
