"""Read forms and JSON bodies with images: after authentication, in memory only, and within the size limits.

FastAPI would read the whole body before it authenticates the caller, and spool photos to disk. Routes with images
therefore read the form through `image_form`, and describe it for OpenAPI with `form_bodies.form_body`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from starlette.requests import ClientDisconnect

from app.errors import InvalidParameter, RequestRefused, TooManyImages, UnsupportedMediaType, about_image
from app.permissions import Permission, Principal
from app.routes.deps.callers import StateDep, require_permission
from app.routes.error_handlers import validation_failed
from app.routes.json_photos import read_json_photos
from app.routes.multipart import FormPart, FormReader, decode_text, holds_text
from app.server.body_limits import too_large
from app.server.disconnects import DisconnectDep, watch_connection
from app.server.request_context import IMAGES
from app.settings import Settings
from app.telemetry import timed

F = TypeVar("F", bound=BaseModel)

_FIELDS_BYTES = 64 * 1024  # allowed for text fields and part headers, in addition to the images
_BASE64_GROWTH = 1.4  # 4 characters for 3 bytes, and line breaks


@dataclass(frozen=True, slots=True)
class ImageForm(Generic[F]):
    """A validated form or JSON body: its text fields, and the bytes of its images by field."""

    fields: F
    images: Mapping[str, list[bytes]]

    def image(self, field: str) -> bytes:
        """Return the single image of a field."""
        return self.images[field][0]


def image_form(
    model: type[F], counts: Mapping[str, int], permission: Permission, *, one_of: bool = False
) -> Callable[..., AsyncIterator[ImageForm[F]]]:
    """Return a dependency that reads the text fields of `model` and the images of a form or JSON body.

    `counts` maps each image field to its maximum number of images; at least one image is required in every field, or
    with `one_of` in exactly one of the fields. The dependency checks `permission` first, so that nothing is read for
    a caller without it or over their rate limit. After reading the body it watches for the client's disconnect.
    """
    guard = require_permission(permission)

    async def read(
        request: Request, _: Annotated[Principal, Depends(guard)], state: StateDep, disconnect: DisconnectDep
    ) -> AsyncIterator[ImageForm[F]]:
        with timed("receive"):
            fields, images = await _read_body(request, state.settings, counts, model.model_fields)
            _check_counts(_sent_field(counts, images) if one_of else counts, images, counts)
            form = ImageForm(_validate(model, fields), images)
        request.scope[IMAGES] = sum(len(sent) for sent in form.images.values())
        async with watch_connection(request, disconnect):
            with about_image(next(iter(images)) if len(images) == 1 else None):
                yield form

    return read


async def _read_body(
    request: Request, settings: Settings, counts: Mapping[str, int], fields: Mapping[str, FieldInfo]
) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    """Return the text fields, and the images by field."""
    content_type = request.headers.get("content-type", "")
    images_bytes = sum(counts.values()) * settings.max_image_bytes
    match content_type.partition(";")[0].strip().lower():
        case "multipart/form-data":
            max_bytes = min(settings.max_request_bytes, images_bytes + _FIELDS_BYTES)
            return await _read_form(content_type, _limited_stream(request, max_bytes), counts, fields)
        case "application/json":
            max_bytes = min(settings.max_request_bytes, int(images_bytes * _BASE64_GROWTH) + _FIELDS_BYTES)
            body = b"".join([chunk async for chunk in _limited_stream(request, max_bytes)])
            return await read_json_photos(body, counts, fields)
        case _:
            raise UnsupportedMediaType(
                f"The body must be multipart/form-data or application/json, not {content_type[:64] or 'untyped'}."
            )


async def _read_form(
    content_type: str, stream: AsyncGenerator[bytes, None], counts: Mapping[str, int], fields: Collection[str]
) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    # One file more than allowed, so that `_check_counts` can name the field and the number.
    reader = FormReader(content_type, image_fields=counts, max_files=sum(counts.values()) + 1)
    async for chunk in stream:
        reader.feed(chunk)
    known = {*counts, *fields}
    text: dict[str, Any] = {}
    images: dict[str, list[bytes]] = {}
    for part in reader.finish():
        if part.is_file and not part.is_omitted:
            images.setdefault(part.name, []).append(_take_image(part, len(images.get(part.name, ()))))
        elif not part.is_file and (part.size or part.name not in known):
            # Swagger UI and HTML forms send an omitted field as an empty string.
            if part.name in text:
                field = part.name[:64]
                raise InvalidParameter(f"{field}: was sent more than once; send one value.", field=field)
            text[part.name] = decode_text(part.take_data())
    return text, images


def _take_image(part: FormPart, index: int) -> bytes:
    data = part.take_data()
    if data and not part.has_filename and holds_text(data):
        field = part.name[:64]
        raise InvalidParameter(
            f"{field}: contains {len(data)} bytes of text, not a photo. Send a file, or leave the field out.",
            field=field,
            index=index,
        )
    return data


def _validate(model: type[F], fields: Mapping[str, Any]) -> F:
    try:
        return model.model_validate(fields)
    except ValidationError as exc:
        raise validation_failed([dict(error) for error in exc.errors()], model) from exc


async def _limited_stream(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
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


def _sent_field(counts: Mapping[str, int], images: Mapping[str, list[bytes]]) -> dict[str, int]:
    """Return the count of the field that has images, or of the first field if none has."""
    sent = [name for name in counts if name in images]
    if len(sent) > 1:
        raise InvalidParameter(f"{' and '.join(sent)}: send only one of them.", field=sent[-1])
    name = sent[0] if sent else next(iter(counts))
    return {name: counts[name]}


def _check_counts(counts: Mapping[str, int], images: Mapping[str, list[bytes]], fields: Collection[str]) -> None:
    """Check the number of images in each field of `counts`, and that no other than the route's `fields` has any."""
    unknown = next((name for name in images if name not in fields), None)
    if unknown is not None:
        name, known = unknown[:64], " and ".join(f"`{field}`" for field in fields)
        raise InvalidParameter(f"{name}: this route takes no file in this field, only in {known}.", field=name)
    for name, limit in counts.items():
        sent = len(images.get(name, ()))
        if not sent:
            raise InvalidParameter(f"{name}: an image is required.", field=name)
        if sent > limit:
            raise TooManyImages(f"{name}: {sent} images were sent; at most {limit} are allowed.", field=name)
