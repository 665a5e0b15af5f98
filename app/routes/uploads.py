"""Read forms and JSON bodies with images: after authentication, in memory only, and within the size limits.

FastAPI would read the whole body before it authenticates the caller, and spool photos to disk. Routes with images
therefore read the form through `image_form`, and describe it for OpenAPI with `form_bodies.form_body`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar, get_origin

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from app.errors import ImageRefused, InvalidParameter, UnsupportedMediaType, about_image
from app.permissions import Permission
from app.routes.deps.callers import StateDep, require_permission
from app.routes.error_handlers import validation_failed
from app.routes.json_photos import read_json_photos
from app.routes.photo_fields import PhotoFields, SentImage, url_field
from app.server.disconnects import DisconnectDep, watch_connection
from app.server.multipart import FormReader, decode_text
from app.server.photo_bodies import BASE64_GROWTH, FIELDS_BYTES, feed_form, limited_stream, take_image
from app.server.request_context import IMAGES
from app.services.outbound.addresses import MAX_URL_LENGTH
from app.services.photos.image_urls import ImageUrl, ImageUrlFetcher
from app.settings import Settings
from app.telemetry import timed

F = TypeVar("F", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ImageForm(Generic[F]):
    """A validated form or JSON body: its text fields, and its images by field.

    Images by URL are fetched when the route asks for them: after it knows whether it must answer at all.
    """

    fields: F
    images: Mapping[str, list[SentImage]]
    fetcher: ImageUrlFetcher

    def field_of(self, field: str) -> str:
        """Return the field in which the images of an image field were sent: this one, or the one for URLs."""
        return field if self.images.get(field) else url_field(field)

    def count(self, field: str) -> int:
        """Return the number of images in a field."""
        return len(self.images[self.field_of(field)])

    def identity(self, field: str) -> list[str | bytes]:
        """Return what identifies the images of a field in a repeated request: their bytes, or their URLs."""
        identity: list[str | bytes] = []
        for sent in self.images[self.field_of(field)]:
            identity += ["url", sent.text] if isinstance(sent, ImageUrl) else [sent]
        return identity

    async def image(self, field: str) -> bytes:
        """Return the single image of a field; raises an `ImageRefused` if it cannot be fetched."""
        (sent,) = self.images[self.field_of(field)]
        if isinstance(sent, bytes):
            return sent
        with about_image(self.field_of(field)), timed("receive"):
            return await self.fetcher.fetch(sent)

    async def each(self, field: str) -> list[bytes | ImageRefused]:
        """Return the images of a field; one that cannot be fetched yields its error."""
        sent = self.images[self.field_of(field)]
        urls = [one for one in sent if isinstance(one, ImageUrl)]
        if not urls:
            return [one for one in sent if isinstance(one, bytes)]
        with timed("receive"):
            return await self.fetcher.fetch_each(urls)


def image_form(
    model: type[F], photos: PhotoFields, permission: Permission
) -> Callable[..., AsyncIterator[ImageForm[F]]]:
    """Return a dependency that reads the text fields of `model` and the images of a form or JSON body.

    At least one image is required in every field of `photos`. The dependency checks `permission` first, so that nothing
    is read for a caller without it or over their rate limit. After reading the body it watches for the client's
    disconnect.
    """
    return guarded_image_form(model, photos, require_permission(permission))


def guarded_image_form(
    model: type[F], photos: PhotoFields, guard: Callable[..., Any]
) -> Callable[..., AsyncIterator[ImageForm[F]]]:
    """Return the dependency of `image_form` behind another guard, which admits the caller."""

    async def read(
        request: Request, _: Annotated[Any, Depends(guard)], state: StateDep, disconnect: DisconnectDep
    ) -> AsyncIterator[ImageForm[F]]:
        with timed("receive"):
            fields, images = await _read_body(request, state.settings, photos, model.model_fields)
            photos.check_counts(images)
            form = ImageForm(validate_fields(model, fields), images, state.image_urls)
        request.scope[IMAGES] = sum(len(sent) for sent in form.images.values())
        async with watch_connection(request, disconnect):
            with about_image(next(iter(images)) if len(photos.counts) == 1 else None):
                yield form

    return read


async def _read_body(
    request: Request, settings: Settings, photos: PhotoFields, fields: Mapping[str, FieldInfo]
) -> tuple[dict[str, Any], dict[str, list[SentImage]]]:
    """Return the text fields, and the images by field."""
    content_type = request.headers.get("content-type", "")
    number = sum(photos.counts.values())
    images_bytes, text_bytes = number * settings.max_image_bytes, FIELDS_BYTES + number * MAX_URL_LENGTH
    match content_type.partition(";")[0].strip().lower():
        case "multipart/form-data":
            max_bytes = min(settings.max_request_bytes, images_bytes + text_bytes)
            return await _read_form(content_type, limited_stream(request, max_bytes), photos, fields)
        case "application/json":
            max_bytes = min(settings.max_request_bytes, int(images_bytes * BASE64_GROWTH) + text_bytes)
            body = b"".join([chunk async for chunk in limited_stream(request, max_bytes)])
            return await read_json_photos(body, photos, fields)
        case _:
            raise UnsupportedMediaType(
                f"The body must be multipart/form-data or application/json, not {content_type[:64] or 'untyped'}."
            )


async def _read_form(
    content_type: str, stream: AsyncGenerator[bytes, None], photos: PhotoFields, fields: Mapping[str, FieldInfo]
) -> tuple[dict[str, Any], dict[str, list[SentImage]]]:
    # One file more than allowed, so that `check_counts` can name the field and the number.
    number, lists = sum(photos.counts.values()), _list_fields(fields)
    reader = FormReader(
        content_type,
        image_fields=photos.counts,
        max_files=number + 1,
        max_urls=number - len(photos.counts) + (number if lists else 0),
        check_name=photos.check_name,
    )
    async for chunk in stream:
        await feed_form(reader, chunk)
    known = {*photos.counts, *photos.url_counts, *fields}
    text: dict[str, Any] = {}
    images: dict[str, list[SentImage]] = {}
    for part in reader.finish():
        if part.is_file and not part.is_omitted:
            images.setdefault(part.name, []).append(take_image(part, len(images.get(part.name, ()))))
        elif not part.is_file and (part.size or part.name not in known):
            # Swagger UI and HTML forms send an omitted field as an empty string.
            if part.name in photos.url_counts:
                images.setdefault(part.name, []).append(ImageUrl(decode_text(part.take_data())))
                continue
            if part.name in text and part.name not in lists:
                field = part.name[:64]
                raise InvalidParameter(f"{field}: was sent more than once; send one value.", field=field)
            text[part.name] = _append(text.get(part.name), decode_text(part.take_data()))
    return text, images


def _list_fields(fields: Mapping[str, FieldInfo]) -> set[str]:
    """Return the fields that a form may send several times."""
    return {name for name, field in fields.items() if get_origin(field.annotation) is list}


def _append(sent: str | list[str] | None, value: str) -> str | list[str]:
    """Return the value, or a list if the field was sent before."""
    if sent is None:
        return value
    return [*sent, value] if isinstance(sent, list) else [sent, value]


def validate_fields(model: type[F], fields: Mapping[str, Any]) -> F:
    """Validate the text fields of a form; raises `RequestInvalid` with all that is wrong."""
    try:
        return model.model_validate(fields)
    except ValidationError as exc:
        raise validation_failed([dict(error) for error in exc.errors()], model) from exc
