"""Reads multipart forms with images: after the caller is known, in memory only, never beyond the limits.

FastAPI would read the whole body before it asks who sends it, and spool photos to disk; so routes with images take
the form through `image_form`, and describe it for OpenAPI with `form_body`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from app.errors import InvalidParameter, RequestRefused, TooManyImages, UnsupportedMediaType
from app.permissions import Permission, Principal
from app.routes.deps.callers import StateDep, guard_of
from app.routes.error_handlers import validation_failed
from app.server.body_limits import too_large
from app.server.disconnects import DisconnectDep, watch_connection
from app.server.request_context import IMAGES
from app.settings import Settings
from app.telemetry import timed

F = TypeVar("F", bound=BaseModel)

_FIELDS_BYTES = 64 * 1024  # for text fields and part headers, over and above the images
_MAX_FIELDS = 20
# What an image part may call itself; the bytes decide what it is.
_GENERIC_TYPES = ("", "application/octet-stream", "binary/octet-stream")


class _InMemoryParser(MultiPartParser):
    spool_max_size = 1 << 40  # photos never touch the disk; the body limit bounds the memory


@dataclass(frozen=True, slots=True)
class ImageForm(Generic[F]):
    """A validated form: text fields, and the bytes of the images by field."""

    fields: F
    images: Mapping[str, list[bytes]]

    def image(self, field: str) -> bytes:
        """The one image of a field."""
        return self.images[field][0]


def image_form(
    model: type[F], counts: Mapping[str, int], permission: Permission, *, either: bool = False
) -> Callable[..., AsyncIterator[ImageForm[F]]]:
    """A dependency that reads `model`'s text fields and, for each field of `counts`, 1 to that many images.

    With `either`, of just one of those fields.

    It depends on the permission itself, so nothing is read of a caller who may not, or not so often. Once the body is
    there it watches whether the caller stays.
    """
    guard = guard_of(permission)

    async def read(
        request: Request, _: Annotated[Principal, Depends(guard)], state: StateDep, disconnect: DisconnectDep
    ) -> AsyncIterator[ImageForm[F]]:
        with timed("receive"):
            form = await parse(request, state.settings)
        request.scope[IMAGES] = sum(len(sent) for sent in form.images.values())
        async with watch_connection(request, disconnect):
            yield form

    async def parse(request: Request, settings: Settings) -> ImageForm[F]:
        content_type = request.headers.get("content-type", "")
        if not content_type.lower().startswith("multipart/form-data"):
            raise UnsupportedMediaType(f"The body must be multipart/form-data, not {content_type[:64] or 'untyped'}.")
        limit = min(settings.max_request_bytes, sum(counts.values()) * settings.max_image_bytes + _FIELDS_BYTES)
        # One more than allowed, so that the count can be named.
        parser = _InMemoryParser(
            request.headers,
            _within(request, limit),
            max_files=sum(counts.values()) + 1,
            max_fields=_MAX_FIELDS,
            max_part_size=_FIELDS_BYTES,
        )
        try:
            form = await parser.parse()
        except MultiPartException as exc:
            if exc.message.startswith("Too many files"):
                raise TooManyImages(f"At most {sum(counts.values())} images a call.") from exc
            raise RequestRefused(f"The multipart body is malformed: {exc.message}") from exc
        except (KeyError, ValueError) as exc:  # e.g. a content type without a boundary
            raise RequestRefused("The multipart body is malformed.") from exc
        try:
            text: dict[str, str] = {}
            images: dict[str, list[bytes]] = {}
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    images.setdefault(name, []).append(await _read_image(name, value, settings.max_image_bytes))
                else:
                    text[name] = value
        finally:
            await form.close()
        _check_counts(_chosen(counts, images) if either else counts, images, text)
        try:
            # An empty field is one left out: that is what Swagger UI and HTML forms send.
            fields = model.model_validate({key: value for key, value in text.items() if value != ""})
        except ValidationError as exc:
            raise validation_failed([dict(error) for error in exc.errors()]) from exc
        return ImageForm(fields, images)

    return read


def form_body(model: type[BaseModel], counts: Mapping[str, int], *, either: bool = False) -> dict[str, Any]:
    """`openapi_extra` for a route that takes `image_form(model, counts, either=either)`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = {name: _inline(part, schema.get("$defs", {})) for name, part in schema.get("properties", {}).items()}
    binary = {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP."}
    images = {
        name: binary if most == 1 else {"type": "array", "items": binary, "minItems": 1, "maxItems": most}
        for name, most in counts.items()
    }
    body: dict[str, Any] = {
        "type": "object",
        "properties": {**images, **properties},
        "required": [*(() if either else counts), *schema.get("required", [])],
    }
    if either:
        body["oneOf"] = [{"required": [name]} for name in counts]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": body}}}}


def _inline(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A property without references: the form's schema stands alone in the document."""
    resolved = dict(part)
    for key in ("$ref", "allOf"):
        value = resolved.pop(key, None)
        reference = value if isinstance(value, str) else (value[0]["$ref"] if value else None)
        if reference:
            resolved = {**definitions[reference.rsplit("/", 1)[-1]], **resolved}
    options = resolved.pop("anyOf", None)
    if options:  # Optional[X]: a form field is there or is not
        resolved = {**next(option for option in options if option.get("type") != "null"), **resolved}
        if resolved.get("default", ...) is None:
            del resolved["default"]
    return resolved


async def _within(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
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
        raise RequestRefused("The connection closed before the body was complete.") from exc


async def _read_image(name: str, part: UploadFile, max_bytes: int) -> bytes:
    content_type = (part.content_type or "").split(";")[0].strip().lower()
    if content_type not in _GENERIC_TYPES and not content_type.startswith("image/"):
        raise UnsupportedMediaType(f"{name} has the content type {content_type[:64]}; send an image.", field=name)
    # One byte more than allowed is enough for the decoder to refuse it by name.
    return await part.read(max_bytes + 1)


def _chosen(counts: Mapping[str, int], images: Mapping[str, list[bytes]]) -> dict[str, int]:
    """The one field of several that the images came in; the first one if none did."""
    sent = [name for name in counts if name in images]
    if len(sent) > 1:
        raise InvalidParameter(f"{' and '.join(sent)}: send one of them.", field=sent[-1])
    name = sent[0] if sent else next(iter(counts))
    return {name: counts[name]}


def _check_counts(counts: Mapping[str, int], images: Mapping[str, list[bytes]], text: Mapping[str, str]) -> None:
    for name, most in counts.items():
        found = len(images.get(name, ()))
        if not found:
            hint = " (it was sent as text: give the part a filename)" if name in text else ""
            raise InvalidParameter(f"{name}: an image is required{hint}.", field=name)
        if found > most:
            raise TooManyImages(f"{name}: {found} images; at most {most}.", field=name)
    unknown = next((name for name in images if name not in counts), None)
    if unknown is not None:
        raise InvalidParameter(f"{unknown[:64]}: no image is expected under this name.", field=unknown[:64])
