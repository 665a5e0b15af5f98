"""Validate requests and serialize responses by botocore's service model, the only definition of the shapes."""

import base64
import binascii
import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import regex
from botocore.loaders import Loader
from botocore.model import ServiceModel

from app.errors import ImageTooLarge, InvalidParameter, MalformedRequest
from app.rekognition import SERVICE
from app.schemas.text_rules import IDENTIFIER

_MAX_ECHO = 64

_WIDER_PATTERNS = {"UserId": IDENTIFIER.pattern}
"""Our subject ids allow more characters than AWS's user ids. `.` and `..` are excluded, since URLs resolve them."""

_WORDS = {
    "UserId": IDENTIFIER.words,
    "CollectionId": "must have only letters (A to Z), digits, `_`, `.` and `-`",
    "ExternalImageId": "must have only letters (A to Z), digits, `_`, `.`, `-` and `:`",
    "S3Bucket": "must have only letters (A to Z), digits, `_`, `.` and `-`",
    "ClientRequestToken": "must have only letters (A to Z), digits, `_` and `-`",
    "FaceId": "must be a face's id: a UUID in lower case",
    "TagKey": "must have only letters, digits, spaces and `_ . : / = + - @`, and not begin with `aws:`",
    "TagValue": "must have only letters, digits, spaces and `_ . : / = + - @`",
}
"""What the model's patterns say, for people."""

_EXTRA_VALUES = {"GenderType": ("Unknown",)}
"""Values that responses have in addition to the model's: see attributes.py."""

_SMALL_BYTES = 64 * 1024
_MAX_PARTS = 20_000
"""Commas, colons, brackets and braces in a body, which determine parsing time. 4096 ids need a fifth of this."""


class WireModel:
    """The operations and shapes of the service model."""

    def __init__(self) -> None:
        self._model = ServiceModel(Loader().load_service_model(SERVICE, "service-2"), SERVICE)
        self.operations = frozenset[str](self._model.operation_names)
        self._patterns: dict[str, Any] = {}

    def read(self, operation: str, body: bytes) -> dict[str, Any]:
        """Parse and validate the parameters of a request; images become bytes and unknown members are dropped.

        Raises `MalformedRequest`, `InvalidParameter` naming the member's path, value and limit, and `ImageTooLarge`.
        """
        shape = self._model.operation_model(operation).input_shape
        parameters = self._read(shape, _parse(body), "")
        assert isinstance(parameters, dict)
        return parameters

    def write(self, operation: str, result: dict[str, Any]) -> bytes:
        """Serialize a result; raises `TypeError` if it does not match the operation's output shape."""
        shape = self._model.operation_model(operation).output_shape
        return json.dumps(_write(shape, result, operation), allow_nan=False).encode()

    # --- requests -----------------------------------------------------------------------------------------------------

    def _read(self, shape: Any, value: Any, path: str) -> Any:
        read = getattr(self, f"_read_{shape.type_name}")
        return read(shape, value, path)

    def _read_structure(self, shape: Any, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(path or "body", "must be an object", value)
        for name in shape.required_members:
            if value.get(name) is None:
                raise _wrong(_join(path, name), "is missing")
        return {
            name: self._read(member, value[name], _join(path, name))
            for name, member in shape.members.items()
            if value.get(name) is not None
        }

    def _read_list(self, shape: Any, value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(path, "must be a list", value)
        _check_range(shape, len(value), path, "entries")
        return [self._read(shape.member, item, f"{path}[{index}]") for index, item in enumerate(value)]

    def _read_map(self, shape: Any, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(path, "must be an object", value)
        _check_range(shape, len(value), path, "entries")
        return {
            self._read(shape.key, key, f"{path} (key)"): self._read(shape.value, item, _join(path, _shorten(key)))
            for key, item in value.items()
        }

    def _read_string(self, shape: Any, value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise _wrong(path, "must be a string", value)
        _check_range(shape, len(value), path, "characters")
        if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value):
            raise _wrong(path, "contains a NUL character or a lone surrogate")
        if shape.enum and value not in shape.enum:
            raise _wrong(path, f"must be one of {', '.join(shape.enum)}", value)
        pattern = _WIDER_PATTERNS.get(shape.name) or shape.metadata.get("pattern")
        if pattern and not self._pattern(pattern).fullmatch(value):
            raise _wrong(path, _WORDS.get(shape.name, "has a form that Amazon's API does not allow"), value)
        return value

    def _read_integer(self, shape: Any, value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong(path, "must be a whole number", value)
        _check_range(shape, value, path, "")
        return value

    _read_long = _read_integer

    def _read_float(self, shape: Any, value: Any, path: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(path, "must be a number", value)
        _check_range(shape, value, path, "")
        number = float(value) if abs(value) < 1e300 else math.inf
        if not math.isfinite(number):
            raise _wrong(path, "must be a finite number")
        return number

    _read_double = _read_float

    def _read_boolean(self, _: Any, value: Any, path: str) -> bool:
        if not isinstance(value, bool):
            raise _wrong(path, "must be true or false", value)
        return value

    def _read_blob(self, shape: Any, value: Any, path: str) -> bytes:
        if not isinstance(value, str):
            raise _wrong(path, "must be a base64 string")
        try:
            decoded = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise _wrong(path, "is not valid base64") from None
        max_bytes = shape.metadata.get("max")
        if max_bytes is not None and len(decoded) > max_bytes:
            raise ImageTooLarge(
                f"{path}: the image has {len(decoded)} bytes; the maximum is {max_bytes} bytes.", field=path
            )
        _check_range(shape, len(decoded), path, "bytes")
        return decoded

    def _pattern(self, pattern: str) -> Any:
        if pattern not in self._patterns:
            self._patterns[pattern] = regex.compile(pattern)
        return self._patterns[pattern]


def _parse(body: bytes) -> Any:
    if not body:
        return {}
    if len(body) > _SMALL_BYTES and sum(body.count(mark) for mark in (b",", b":", b"[", b"{")) > _MAX_PARTS:
        raise MalformedRequest(
            f"The body has more than {_MAX_PARTS} commas, colons and brackets; send a smaller request."
        )
    try:
        value = json.loads(body)
    except RecursionError:
        raise MalformedRequest("The body's JSON is nested too deeply.") from None
    except ValueError:  # JSONDecodeError, UnicodeDecodeError, integers of thousands of digits
        raise MalformedRequest("The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise MalformedRequest
    return value


def _check_range(shape: Any, value: float, path: str, unit: str) -> None:
    minimum, maximum = shape.metadata.get("min"), shape.metadata.get("max")
    found = f"has {value} {unit}" if unit else f"is {_shorten(str(value))}"
    if minimum is not None and value < minimum:
        raise _wrong(path, f"{found}; the minimum is {minimum}")
    if maximum is not None and value > maximum:
        raise _wrong(path, f"{found}; the maximum is {maximum}")


def _wrong(path: str, what: str, value: Any = None) -> InvalidParameter:
    got = f" (got {_shorten(str(value))})" if isinstance(value, str | int | float) else ""
    return InvalidParameter(f"{path}: {what}{got}.", field=path)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shorten(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= _MAX_ECHO else clean[:_MAX_ECHO] + "..."


# --- responses --------------------------------------------------------------------------------------------------------


def _write(shape: Any, value: Any, path: str) -> Any:
    return _WRITERS[shape.type_name](shape, value, path)


def _write_structure(shape: Any, value: dict[str, Any], path: str) -> dict[str, Any]:
    unknown = set(value) - set(shape.members)
    if unknown:
        raise TypeError(f"{path} has no member {sorted(unknown)}")
    return {
        name: _write(shape.members[name], item, f"{path}.{name}") for name, item in value.items() if item is not None
    }


def _write_string(shape: Any, value: Any, path: str) -> str:
    text = str(_of_type(value, str, path))
    if shape.enum and text not in (*shape.enum, *_EXTRA_VALUES.get(shape.name, ())):
        raise TypeError(f"{path}: {text} is not one of {shape.enum}")
    return text


def _write_boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{path}: {type(value).__name__} is not a boolean")
    return value


def _of_type(value: Any, kind: Any, path: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{path}: {type(value).__name__} is not {kind}")
    return value


_WRITERS: dict[str, Callable[[Any, Any, str], Any]] = {
    "structure": _write_structure,
    "list": lambda shape, value, path: [_write(shape.member, item, path) for item in value],
    "map": lambda shape, value, path: {
        _write(shape.key, key, path): _write(shape.value, item, path) for key, item in value.items()
    },
    "string": _write_string,
    "timestamp": lambda _, value, path: _of_type(value, datetime, path).timestamp(),
    "boolean": lambda _, value, path: _write_boolean(value, path),
    "integer": lambda _, value, path: _of_type(value, int, path),
    "long": lambda _, value, path: _of_type(value, int, path),
    "float": lambda _, value, path: float(_of_type(value, int | float, path)),
    "double": lambda _, value, path: float(_of_type(value, int | float, path)),
}
