"""Field types shared by requests: each says in one place what a value may be."""

import json
import math
import unicodedata
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from app.domain.faces import Detail

MAX_METADATA_BYTES = 16 * 1024
_MAX_METADATA_DEPTH = 8


def printable(value: str) -> str:
    """Control characters and lone surrogates are no text (and PostgreSQL stores neither)."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise ValueError("must not contain control characters")
    return value


def within_reach(value: datetime) -> datetime:
    """At the ends of the calendar a time in another zone is no time."""
    if not 1900 <= value.year <= 9000:
        raise ValueError("must be between the years 1900 and 9000")
    return value


CollectionName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_\-][A-Za-z0-9_.\-]{0,254}$"),
    Field(description="Letters, digits, `_`, `-` and `.`; at most 255.", examples=["default"]),
]
SubjectId = Annotated[
    str,
    StringConstraints(pattern=r"^(\.{3,}|\.*[\w:\-][\w.:@+\-]*)$", max_length=128),
    Field(
        description="Your own id of the person: letters, digits and `_ . : @ + -`; at most 128.", examples=["emp-1042"]
    ),
]
DisplayName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(printable),
    Field(examples=["Ada Acker"]),
]
ConsentReference = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(printable),
    Field(description="Your reference to the proof that the person agreed.", examples=["form-2026-0117"]),
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(printable)]
Moment = Annotated[AwareDatetime, AfterValidator(within_reach)]
Expiry = Annotated[
    Moment,
    Field(description="When to erase the person, with a time zone.", examples=["2027-12-31T23:59:59Z"]),
]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[^@\s]{1,64}@[^@\s]{1,255}$"),
    AfterValidator(printable),
    Field(examples=["ada@example.com"]),
]
NewPassword = Annotated[
    str,
    StringConstraints(min_length=10, max_length=256),
    AfterValidator(printable),
    Field(description="10 to 256 characters.", json_schema_extra={"format": "password"}),
]
Threshold = Annotated[
    float,
    Field(
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="Cosine from which on it is a match; default: what the collection's policy makes of its size.",
    ),
]
DetailField = Annotated[
    Detail,
    Field(
        description="How hard to look: `fast` for one large face, `thorough` for small faces in large photos; it costs "
        "from a third to ten times as much as `standard`."
    ),
]
CandidateLimit = Annotated[int, Field(ge=1, le=100, description="Candidates a face, at most.")]


def parse_metadata(text: str) -> dict[str, Any]:
    """A JSON object that PostgreSQL can store; raises `ValueError` with the reason."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_METADATA_BYTES:
        raise ValueError(f"is longer than {MAX_METADATA_BYTES} bytes")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"is nested deeper than {_MAX_METADATA_DEPTH} levels") from None
    except json.JSONDecodeError as exc:
        raise ValueError(f"is not JSON (at character {exc.pos})") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return check_metadata(value)


def check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """The object itself, if PostgreSQL can store it; raises `ValueError` with the reason."""
    _check(value, depth=0)
    if len(json.dumps(value, ensure_ascii=False).encode()) > MAX_METADATA_BYTES:
        raise ValueError(f"is longer than {MAX_METADATA_BYTES} bytes")
    return value


Metadata = Annotated[
    dict[str, Any],
    AfterValidator(check_metadata),
    Field(description="A JSON object of your own, at most 16 KiB.", examples=[{"department": "optics"}]),
]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"contains {name}, which is not JSON")


def _check(value: object, depth: int) -> None:
    if depth > _MAX_METADATA_DEPTH:
        raise ValueError(f"is nested deeper than {_MAX_METADATA_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_scalar(key)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    else:
        _check_scalar(value)


def _check_scalar(value: object) -> None:
    if isinstance(value, str) and ("\0" in value or any(0xD800 <= ord(character) <= 0xDFFF for character in value)):
        raise ValueError("contains a character that is no text")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("contains a number beyond the range of a double")
    if isinstance(value, int) and abs(value) >= 10**100:
        raise ValueError("contains an integer of more than 100 digits")
