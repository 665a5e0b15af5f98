"""Read a form with a video while it arrives: the text fields first, then the file in pieces, never all of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from app.errors import InvalidParameter, RequestRefused, UnsupportedMediaType
from app.permissions import Permission
from app.routes.deps.callers import require_permission
from app.routes.form_bodies import inline
from app.routes.photo_paths import is_json
from app.routes.uploads import validate_fields
from app.schemas.videos import StoredVideoIn, VideoForm
from app.server.json_bodies import parse_object
from app.server.multipart import FormPart, FormReader, decode_text

FILE_FIELD = "video"


@dataclass(frozen=True, slots=True)
class VideoUpload:
    """The text fields of a form, and its file as it arrives."""

    fields: VideoForm
    chunks: AsyncIterator[bytes]


class _ArrivingForm:
    """Feeds the parser, and takes from it what it has read."""

    def __init__(self, request: Request) -> None:
        content_type = request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
            raise UnsupportedMediaType(
                f"The body must be multipart/form-data or application/json, not {content_type[:64] or 'untyped'}."
            )
        self._reader = FormReader(content_type, image_fields={FILE_FIELD}, max_files=1)
        self._stream = request.stream()

    async def read_fields(self) -> dict[str, Any]:
        """Return the text fields before the file; raises `RequestRefused` or `InvalidParameter`."""
        async for chunk in self._arriving():
            self._reader.feed(chunk)
            if self._file() is not None:
                break
        else:
            self._reader.finish()
        file = self._file()
        if file is None or (self._reader.is_complete and file.is_omitted):
            raise InvalidParameter(f"{FILE_FIELD}: a file is required, after the other fields.", field=FILE_FIELD)
        if file.name != FILE_FIELD:
            name = file.name[:64]
            raise InvalidParameter(f"{name}: this route takes a file in `{FILE_FIELD}` only.", field=name)
        return self._texts()

    async def read_file(self) -> AsyncIterator[bytes]:
        """Yield the file in pieces; raises `RequestRefused` if the form goes on after it, or ends in the middle."""
        file = self._file()
        assert file is not None  # `read_fields` has found it
        if data := file.take_data():
            yield data
        async for chunk in self._arriving():
            self._reader.feed(chunk)
            if self._file() is not file:
                raise RequestRefused(f"Send the text fields before `{FILE_FIELD}`, which must be the last part.")
            if data := file.take_data():
                yield data
        self._reader.finish()

    async def _arriving(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except ClientDisconnect as exc:
            raise RequestRefused("The client closed the connection before the body was complete.") from exc

    def _file(self) -> FormPart | None:
        part = self._reader.last_part
        return part if part is not None and part.is_file else None

    def _texts(self) -> dict[str, Any]:
        texts: dict[str, Any] = {}
        for part in self._reader.text_parts():
            if not part.size and part.name in VideoForm.model_fields:
                continue  # how forms send a field that was left empty
            if part.name in texts:
                name = part.name[:64]
                raise InvalidParameter(f"{name}: was sent more than once; send one value.", field=name)
            texts[part.name] = decode_text(part.take_data())
        return texts


async def read_video_form(
    request: Request, _: Annotated[Any, Depends(require_permission(Permission.REGISTER))]
) -> VideoUpload | StoredVideoIn:
    """Read the text fields of a form, after authentication; the route reads the file. Or read a JSON body."""
    if is_json(request.headers):
        return validate_fields(StoredVideoIn, parse_object(await request.body()))
    form = _ArrivingForm(request)
    fields = validate_fields(VideoForm, await form.read_fields())
    return VideoUpload(fields, form.read_file())


def _form_fields() -> dict[str, Any]:
    schema = VideoForm.model_json_schema()
    return {name: inline(part, schema.get("$defs", {})) for name, part in schema["properties"].items()}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's schema; what it refers to is a component of other routes, too."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema


VIDEO_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        **_form_fields(),
                        FILE_FIELD: {
                            "type": "string",
                            "format": "binary",
                            "minLength": 1,
                            "description": "MP4, MOV, MKV, WebM, AVI, MPEG-TS, FLV, ASF or Ogg, as the last part.",
                        },
                    },
                    "required": ["album", "external_id", FILE_FIELD],
                }
            },
            "application/json": {"schema": _schema(StoredVideoIn)},
        },
    }
}
"""The `openapi_extra` of the route."""
