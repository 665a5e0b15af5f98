"""Describe the forms and JSON bodies with images for the OpenAPI document, as `uploads.py` reads them."""

from typing import Any

from pydantic import BaseModel

from app.routes.examples import build_example
from app.routes.photo_fields import PhotoFields, url_field
from app.services.outbound.addresses import MAX_URL_LENGTH

_FORMATS = "JPEG, PNG, WebP, AVIF, HEIC (if installed), GIF, BMP or TIFF."
_DIGIT = r"[A-Za-z0-9+\/_\-][ \t\r\n]*"
_BASE64 = (
    rf"^([Dd][Aa][Tt][Aa]:[^,]*;[Bb][Aa][Ss][Ee]64,)?[ \t\r\n]*({_DIGIT}{_DIGIT}{_DIGIT}{_DIGIT})*"
    rf"({_DIGIT}{_DIGIT}({_DIGIT})?)?(=[ \t\r\n]*)*$"
)
"""Either alphabet, with or without padding and line breaks."""


_URL = {
    "type": "string",
    "format": "uri",
    "maxLength": MAX_URL_LENGTH,
    "description": "The URL of a photo, on a host that the operator allows (`VULTUS_IMAGE_URL_HOSTS`).",
    "examples": ["https://photos.example/ada.jpg"],
}


def form_body(model: type[BaseModel], photos: PhotoFields) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads `image_form(model, photos)`.

    No image field is required in the schema, since each may be replaced by its URL: client generators read `oneOf`
    in a body as a body without fields.
    """
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = {name: inline(part, schema.get("$defs", {})) for name, part in schema.get("properties", {}).items()}
    required = schema.get("required", [])
    binary = {"type": "string", "format": "binary", "description": _FORMATS}
    text = {
        "type": "string",
        "contentEncoding": "base64",
        "pattern": _BASE64,
        "description": f"{_FORMATS} As base64 or a data URI.",
        "examples": ["/9j/4AAQSkZJRg=="],
    }
    form = {name: part if name in required else _or_empty(part) for name, part in properties.items()}
    document = {name: part if name in required else _or_null(part) for name, part in properties.items()}
    images = {name: _or_null(_or_none(part)) for name, part in _describe_images(text, _URL, photos).items()}
    files = _describe_images(binary, _or_empty(_URL), photos)
    json_body = _describe_object({**images, **document}, required)
    json_body["examples"] = [build_example({**json_body, "required": [*photos.counts, *required]}, {})]
    content = {
        "multipart/form-data": {"schema": _describe_object({**files, **form}, required)},
        "application/json": {"schema": json_body},
    }
    return {"requestBody": {"required": True, "content": content}}


def _describe_object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": required}


def _describe_images(image: dict[str, Any], url: dict[str, Any], photos: PhotoFields) -> dict[str, Any]:
    """Return the schemas of the fields for images and for their URLs."""
    images: dict[str, Any] = {}
    for name, limit in photos.counts.items():
        images[name] = _list_of(image, limit, name) if limit > 1 else _name_alternative(image, name)
        alternative = {**url, "description": f"In place of `{name}`: {url['description']}"}
        if limit > 1:  # a URL that is too long is a problem of one photo, not of the request
            del alternative["maxLength"]
        images[url_field(name)] = _list_of(alternative, limit) if limit > 1 else alternative
    return images


def _name_alternative(image: dict[str, Any], name: str) -> dict[str, Any]:
    return {**image, "description": f"Required, unless `{url_field(name)}` is sent. {image['description']}"}


def _list_of(item: dict[str, Any], limit: int, name: str | None = None) -> dict[str, Any]:
    """Return the schema of several photos; Swagger UI shows the description of the list, not of its items."""
    item = _name_alternative(item, name) if name is not None else item
    description = f"Up to {limit} photos. {item['description']}"
    return {"type": "array", "items": item, "minItems": 1, "maxItems": limit, "description": description}


def _or_none(part: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the photos in a JSON body: an empty list is no value, as some clients send it."""
    if part["type"] != "array":
        return part
    unlimited = {name: value for name, value in part.items() if name != "minItems"}
    return {**unlimited, "examples": [part["items"]["examples"]]}


def _or_null(part: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an optional field of a JSON body: null is no value."""
    nullable = {**part, "type": [part["type"], "null"]}
    return {**nullable, "enum": [*part["enum"], None]} if "enum" in part else nullable


def _or_empty(part: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an optional field of a form: empty text is no value, since HTML forms send it as such."""
    if part["type"] != "string":
        return {**part, "type": [part["type"], "string"], "maxLength": 0}
    optional = {name: value for name, value in part.items() if name not in ("minLength", "format")}
    if "enum" in part:
        optional["enum"] = [*part["enum"], ""]
    if "pattern" in part:
        optional["pattern"] = f"^$|{part['pattern']}"
    return optional


def inline(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Resolve a property's references, since the form's schema is not among the document's components."""
    resolved = dict(part)
    for key in ("$ref", "allOf"):
        value = resolved.pop(key, None)
        reference = value if isinstance(value, str) else (value[0]["$ref"] if value else None)
        if reference:
            resolved = {**definitions[reference.rsplit("/", 1)[-1]], **resolved}
    options = resolved.pop("anyOf", None)
    if options:  # Optional[X]: a form cannot send null, only omit the field
        resolved = {**inline(next(one for one in options if one.get("type") != "null"), definitions), **resolved}
        if resolved.get("default", ...) is None:
            del resolved["default"]
    if "default" in resolved:  # Swagger UI shows a form field's description, but not its default
        resolved["description"] = f"{resolved.get('description', '')} Default: `{resolved['default']}`.".lstrip()
    return resolved
