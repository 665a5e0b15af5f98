"""Describe the forms and JSON bodies with images for the OpenAPI document, as `uploads.py` reads them."""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

_FORMATS = "JPEG, PNG, WebP, AVIF, HEIC (if installed), GIF, BMP or TIFF."
_DIGIT = r"[A-Za-z0-9+\/_\-][ \t\r\n]*"
_BASE64 = (
    rf"^([Dd][Aa][Tt][Aa]:[^,]*;[Bb][Aa][Ss][Ee]64,)?[ \t\r\n]*({_DIGIT}{_DIGIT}{_DIGIT}{_DIGIT})*"
    rf"({_DIGIT}{_DIGIT}({_DIGIT})?)?(=[ \t\r\n]*)*$"
)
"""Either alphabet, with or without padding and line breaks."""


def form_body(model: type[BaseModel], counts: Mapping[str, int], *, one_of: bool = False) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads `image_form(model, counts, one_of=one_of)`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = {name: _inline(part, schema.get("$defs", {})) for name, part in schema.get("properties", {}).items()}
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
    content = {
        "multipart/form-data": {"schema": _object(_images(binary, counts), form, required, one_of)},
        "application/json": {"schema": _object(_images(text, counts), document, required, one_of)},
    }
    if one_of:
        _allow_null(content["application/json"]["schema"], counts)
    return {"requestBody": {"required": True, "content": content}}


def _allow_null(body: dict[str, Any], names: Collection[str]) -> None:
    """Let null stand for each image field but one, in a JSON body that has exactly one of them."""
    types = {name: body["properties"][name]["type"] for name in names}
    body["oneOf"] = [
        {
            "required": [name],
            "properties": {other: {"type": types[name] if other == name else "null"} for other in names},
        }
        for name in names
    ]
    body["properties"] |= {name: _or_null(body["properties"][name]) for name in names}


def _object(images: dict[str, Any], fields: dict[str, Any], required: list[str], one_of: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {**images, **fields},
        "required": [*(() if one_of else images), *required],
    }
    if one_of:
        body["oneOf"] = [{"required": [name]} for name in images]
    return body


def _images(image: dict[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the schemas of the image fields; Swagger UI shows the description of a list, not of its items."""
    return {
        name: image
        if limit == 1
        else {
            "type": "array",
            "items": image,
            "minItems": 1,
            "maxItems": limit,
            "description": f"Up to {limit} photos: {image['description']}",
        }
        for name, limit in counts.items()
    }


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
    if "default" in resolved:  # Swagger UI shows a form field's description, but not its default
        resolved["description"] = f"{resolved.get('description', '')} Default: `{resolved['default']}`.".lstrip()
    return resolved
