"""Read multipart forms with images: after authentication, in memory only, and within the size limits.

FastAPI would read the whole body before it authenticates the caller, and spool photos to disk. Routes with images
therefore read the form through `image_form`, and describe it for OpenAPI with `form_body`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from app.errors import InvalidParameter, RequestRefused, TooManyImages, UnsupportedMediaType
from app.permissions import Permission, Principal
from app.routes.deps.callers import StateDep, require_permission
from app.routes.error_handlers import validation_failed
from app.server.body_limits import too_large
from app.server.disconnects import DisconnectDep, watch_connection
from app.server.request_context import IMAGES
from app.settings import Settings
from app.telemetry import timed

F = TypeVar("F", bound=BaseModel)

_FIELDS_BYTES = 64 * 1024  # allowed for text fields and part headers, in addition to the images
_MAX_FIELDS = 20
# Accepted for an image part besides image/*; the decoder determines the real format.
_GENERIC_TYPES = ("", "application/octet-stream", "binary/octet-stream")


class _InMemoryParser(MultiPartParser):
    spool_max_size = 1 << 40  # never write photos to disk; the body limit bounds the memory


@dataclass(frozen=True, slots=True)
class ImageForm(Generic[F]):
    """A validated form: its text fields, and the bytes of its images by field."""

    fields: F
    images: Mapping[str, list[bytes]]

    def image(self, field: str) -> bytes:
        """Return the single image of a field."""
        return self.images[field][0]


def image_form(
    model: type[F], counts: Mapping[str, int], permission: Permission, *, one_of: bool = False
) -> Callable[..., AsyncIterator[ImageForm[F]]]:
    """Return a dependency that reads the text fields of `model` and the images of a form.

    `counts` maps each image field to its maximum number of images; at least one image is required in every field, or
    with `one_of` in exactly one of the fields. The dependency checks `permission` first, so that nothing is read for
    a caller without it or over their rate limit. After reading the body it watches for the client's disconnect.
    """
    guard = require_permission(permission)

    async def read(
        request: Request, _: Annotated[Principal, Depends(guard)], state: StateDep, disconnect: DisconnectDep
    ) -> AsyncIterator[ImageForm[F]]:
        with timed("receive"):
            text, images = await _read_parts(request, state.settings, sum(counts.values()))
            _check_counts(_sent_field(counts, images) if one_of else counts, images, text)
            form = ImageForm(_validate(model, text), images)
        request.scope[IMAGES] = sum(len(sent) for sent in form.images.values())
        async with watch_connection(request, disconnect):
            yield form

    return read


async def _read_parts(
    request: Request, settings: Settings, max_images: int
) -> tuple[dict[str, str], dict[str, list[bytes]]]:
    """Return the text fields, and the images by field."""
    form = await _parse(request, settings, max_images)
    text: dict[str, str] = {}
    images: dict[str, list[bytes]] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                images.setdefault(name, []).append(await _read_image(name, value, settings.max_image_bytes))
            else:
                text[name] = value
    finally:
        await form.close()
    return text, images


async def _parse(request: Request, settings: Settings, max_images: int) -> FormData:
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        raise UnsupportedMediaType(f"The body must be multipart/form-data, not {content_type[:64] or 'untyped'}.")
    max_bytes = min(settings.max_request_bytes, max_images * settings.max_image_bytes + _FIELDS_BYTES)
    parser = _InMemoryParser(
        request.headers,
        _limited_stream(request, max_bytes),
        max_files=max_images + 1,  # one more, so that `_check_counts` can name the field and the number
        max_fields=_MAX_FIELDS,
        max_part_size=_FIELDS_BYTES,
    )
    try:
        return await parser.parse()
    except MultiPartException as exc:
        if exc.message.startswith("Too many files"):
            raise TooManyImages(
                f"The request contains more than {max_images + 1} images; at most {max_images} are allowed per call."
            ) from exc
        raise RequestRefused(f"The multipart body is malformed: {exc.message}") from exc
    except (KeyError, ValueError) as exc:  # for example a content type without a boundary
        raise RequestRefused("The multipart body is malformed.") from exc


def _validate(model: type[F], text: Mapping[str, str]) -> F:
    try:
        # Swagger UI and HTML forms send an omitted field as an empty string.
        return model.model_validate({name: value for name, value in text.items() if value != ""})
    except ValidationError as exc:
        raise validation_failed([dict(error) for error in exc.errors()], model) from exc


def form_body(model: type[BaseModel], counts: Mapping[str, int], *, one_of: bool = False) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads `image_form(model, counts, one_of=one_of)`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = {name: _inline(part, schema.get("$defs", {})) for name, part in schema.get("properties", {}).items()}
    binary = {
        "type": "string",
        "format": "binary",
        "description": "JPEG, PNG, WebP, AVIF, HEIC (if installed), GIF, BMP or TIFF.",
    }
    images = {
        name: binary if limit == 1 else {"type": "array", "items": binary, "minItems": 1, "maxItems": limit}
        for name, limit in counts.items()
    }
    body: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {**images, **properties},
        "required": [*(() if one_of else counts), *schema.get("required", [])],
    }
    if one_of:
        body["oneOf"] = [{"required": [name]} for name in counts]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": body}}}}


def _inline(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Resolve a property's references, since the form's schema is not among the document's components."""
    resolved = dict(part)
    for key in ("$ref", "allOf"):
        value = resolved.pop(key, None)
        reference = value if isinstance(value, str) else (value[0]["$ref"] if value else None)
        if reference:
            resolved = {**definitions[reference.rsplit("/", 1)[-1]], **resolved}
    options = resolved.pop("anyOf", None)
    if options:  # Optional[X]: a form cannot send null, only omit the field
        resolved = {**next(option for option in options if option.get("type") != "null"), **resolved}
        if resolved.get("default", ...) is None:
            del resolved["default"]
    return resolved


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


async def _read_image(name: str, part: UploadFile, max_bytes: int) -> bytes:
    content_type = (part.content_type or "").split(";")[0].strip().lower()
    if content_type not in _GENERIC_TYPES and not content_type.startswith("image/"):
        raise UnsupportedMediaType(f"{name}: the content type is {content_type[:64]}; send an image.", field=name)
    # Read at most one byte over the limit; the decoder refuses the image then.
    return await part.read(max_bytes + 1)


def _sent_field(counts: Mapping[str, int], images: Mapping[str, list[bytes]]) -> dict[str, int]:
    """Return the count of the field that has images, or of the first field if none has."""
    sent = [name for name in counts if name in images]
    if len(sent) > 1:
        raise InvalidParameter(f"{' and '.join(sent)}: send only one of them.", field=sent[-1])
    name = sent[0] if sent else next(iter(counts))
    return {name: counts[name]}


def _check_counts(counts: Mapping[str, int], images: Mapping[str, list[bytes]], text: Mapping[str, str]) -> None:
    for name, limit in counts.items():
        sent = len(images.get(name, ()))
        if not sent:
            hint = " (it was sent as text; add a filename to the part)" if name in text else ""
            raise InvalidParameter(f"{name}: an image is required{hint}.", field=name)
        if sent > limit:
            raise TooManyImages(f"{name}: {sent} images were sent; at most {limit} are allowed.", field=name)
    unknown = next((name for name in images if name not in counts), None)
    if unknown is not None:
        raise InvalidParameter(f"{unknown[:64]}: this route has no image field of this name.", field=unknown[:64])
