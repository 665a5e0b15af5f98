"""Define the field types that requests share, each with its limits and description in one place."""

import json
import sys
from datetime import date, datetime
from itertools import count
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

from app.domain.faces import Detail
from app.domain.people import MAX_METADATA_BYTES
from app.domain.text import normalize
from app.schemas.json_documents import parse_json
from app.schemas.text_rules import DAY, EMAIL, IDENTIFIER, INSTANT, NAME, PRINTABLE, READABLE, SLUG, UUID_TEXT

_MAX_METADATA_DEPTH = 8
_MAX_NUMBER = sys.float_info.max
_MAX_METADATA_VALUES = MAX_METADATA_BYTES // 2
"""A value and a comma take at least two bytes."""


def _compose(value: object) -> object:
    """Normalize text before its other checks, which count its characters."""
    return normalize(value) if isinstance(value, str) else value


_Composed = BeforeValidator(_compose)


def check_year(value: datetime) -> datetime:
    """Return the time; raises `ValueError` outside 1900 to 9000.

    Near years 1 and 9999 the conversion to another time zone would overflow.
    """
    if not 1900 <= value.year <= 9000:
        raise ValueError("must be between the years 1900 and 9000")
    return value


CollectionName = Annotated[
    str,
    SLUG,
    Field(
        description="A name of at most 255 letters, digits, `_`, `-` and `.`; must not begin with `.`.",
        examples=["default"],
    ),
]
SubjectId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    IDENTIFIER,
    Field(
        description="Your own id for the person: at most 128 letters, digits and `_ . : @ + -`. Beyond ASCII, any "
        "visible character counts as a letter.",
        examples=["emp-1042"],
    ),
    _Composed,
]
DisplayName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    NAME,
    Field(examples=["Ada Acker"]),
    _Composed,
]
ConsentReference = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    NAME,
    Field(description="Your reference to the proof of the person's consent.", examples=["form-2026-0117"]),
    _Composed,
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200), READABLE, _Composed]
SearchText = Annotated[str, StringConstraints(min_length=1, max_length=200), PRINTABLE, _Composed]
ExternalImageId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    READABLE,
    Field(description="Your own id for a photo: 1 to 255 characters.", examples=["party-2026-017.jpg"]),
    _Composed,
]
Timestamp = Annotated[AwareDatetime, AfterValidator(check_year), INSTANT]
Day = Annotated[date, DAY]
Id = Annotated[UUID, UUID_TEXT]
Expiry = Annotated[
    Timestamp,
    Field(
        description="When to erase the person and their faces. Must include a time zone.",
        examples=["2027-12-31T23:59:59Z"],
    ),
]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    EMAIL,
    AfterValidator(str.lower),
    Field(examples=["ada@example.com"]),
    _Composed,
]
NewPassword = Annotated[
    str,
    StringConstraints(min_length=10, max_length=256),
    PRINTABLE,
    Field(
        description="10 to 256 characters.",
        examples=["correct horse battery"],
        json_schema_extra={"format": "password"},
    ),
]
Threshold = Annotated[
    float,
    Field(
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="The cosine similarity at or above which a candidate is a match, -1 to 1; a `review` where one "
        "stranger in two would reach it. Default: derived from the collection's policy and size.",
    ),
]
DetailField = Annotated[
    Detail,
    Field(
        description="How thoroughly to search for faces: `fast` for one large face, `thorough` for small faces in "
        "large photos. Compared to `standard`, `fast` takes about a third of the time, `thorough` up to ten times."
    ),
]


def _refuse_text(value: object) -> object:
    if isinstance(value, str | bool):
        raise ValueError("must be a number, not text or a truth value")
    return value


JSON_NUMBER = BeforeValidator(_refuse_text)
"""For numbers of JSON bodies; forms and queries send them as text."""
CandidateLimit = Annotated[int, Field(ge=1, le=100, description="Maximum number of candidates per face.")]


_STORABLE: dict[str, Any] = {"type": "string", "pattern": r"^[^\u0000]*$"}
METADATA_VALUE_NAME = "MetadataValue"
METADATA_SCHEMA: dict[str, Any] = {
    "propertyNames": _STORABLE,
    "additionalProperties": {"title": METADATA_VALUE_NAME},  # `docs.py` refers to the component
}
METADATA_VALUE: dict[str, Any] = {
    "description": "Any JSON value without NUL characters, also within arrays and objects.",
    "anyOf": [
        _STORABLE,
        {"type": "number", "minimum": -_MAX_NUMBER, "maximum": _MAX_NUMBER},
        {"type": "boolean"},
        {"type": "null"},
        {"type": "array", "items": {}},
        {"type": "object", "additionalProperties": True},
    ],
}
"""The component of that name. It says nothing about values within values: client generators read no schema that refers
to itself."""


def parse_metadata(text: str) -> dict[str, Any]:
    """Parse a JSON object that PostgreSQL can store; raises `ValueError` with the reason."""
    _check_size(text)
    try:
        value = parse_json(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"is nested deeper than {_MAX_METADATA_DEPTH} levels") from None
    except json.JSONDecodeError as exc:
        raise ValueError(f"is not valid JSON (error at character {exc.pos})") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return check_metadata(value)


def check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Return the object; raises `ValueError` with the reason if PostgreSQL cannot store it."""
    _check(value, depth=0, counted=count())
    _check_size(json.dumps(value, ensure_ascii=False))
    return value


def _parse_list(value: object) -> object:
    """Parse the list that a form sends as one text: a JSON array, or its only item."""
    if not isinstance(value, str):
        return value
    try:
        parsed = parse_json(value)
    except (RecursionError, ValueError):
        return [value]
    return parsed if isinstance(parsed, list) else [value]


FORM_LIST = BeforeValidator(_parse_list)
"""For lists of forms, which send each item as a field of its own, or all as a JSON array in one."""


Metadata = Annotated[
    dict[str, Any],
    AfterValidator(check_metadata),
    Field(
        description="Any JSON object of at most 16 KiB, nested at most 8 deep.",
        examples=[{"department": "optics"}],
        json_schema_extra=METADATA_SCHEMA,
    ),
]


def _check_size(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"is {size} bytes long; at most {MAX_METADATA_BYTES} are allowed")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"contains {name}, which JSON does not allow")


def _check(value: object, depth: int, counted: "count[int]") -> None:
    if next(counted) > _MAX_METADATA_VALUES:
        raise ValueError(f"has more than {_MAX_METADATA_VALUES} values; at most {MAX_METADATA_BYTES} bytes are allowed")
    if depth > _MAX_METADATA_DEPTH:
        raise ValueError(f"is nested deeper than {_MAX_METADATA_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_scalar(key)
            _check(item, depth + 1, counted)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1, counted)
    else:
        _check_scalar(value)


def _check_scalar(value: object) -> None:
    if isinstance(value, str) and ("\0" in value or any(0xD800 <= ord(character) <= 0xDFFF for character in value)):
        raise ValueError("contains a NUL character or an unpaired surrogate")
    if isinstance(value, int | float) and not abs(value) <= _MAX_NUMBER:
        raise ValueError("contains a number beyond the range of a double")
