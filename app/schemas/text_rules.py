"""State a rule for a text once: as a regular expression in the OpenAPI document, and in words in errors."""

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from app.domain.text import CONTROL, INVISIBLE, JOINERS, SPACE

_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character. The document's patterns cannot name them, since many engines know only whole characters."""
_BEYOND_U_FFFF = re.compile("[\U00010000-\U0010ffff](-[\U00010000-\U0010ffff])?")


@dataclass(frozen=True, slots=True)
class TextRule:
    """An annotation of a text type: the value must match `pattern` as a whole, or `words` says that it does not.

    `pattern` begins with `^`, ends with `$` and uses only syntax that Python and ECMAScript share. With `is_raw`, it
    applies to what the client sent, before the type parses it; other than text is then refused too.

    The OpenAPI document has the pattern without characters beyond U+FFFF. ECMAScript without the flag `u` reads each as
    two, and refuses a class with a range of them; generated clients and linters set no flag.
    """

    pattern: str
    words: str
    is_raw: bool = False
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", re.compile(f"(?:{self.pattern[1:-1]})"))

    @property
    def document_pattern(self) -> str:
        """The pattern in the OpenAPI document."""
        return _BEYOND_U_FFFF.sub("", self.pattern)

    def check(self, value: str) -> str:
        """Return the text; raises `ValueError` if it breaks the rule."""
        if _SURROGATE.search(value):
            raise ValueError("must not contain unpaired surrogates")
        if self._compiled.fullmatch(value) is None:
            raise ValueError(self.words)
        return value

    def _check_raw(self, value: object) -> object:
        if isinstance(value, date | UUID):  # from our own code
            return value
        if not isinstance(value, str):
            raise ValueError(self.words)
        return self.check(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if self.is_raw:
            return core_schema.no_info_before_validator_function(self._check_raw, handler(source))
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.document_pattern}


_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_YEAR = "(19[0-9]{2}|[2-8][0-9]{3}|9000)"
_MONTH_AND_DAY = r"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_HIDDEN = CONTROL + INVISIBLE + JOINERS
_UNREADABLE = CONTROL + INVISIBLE
_NO_LETTERS = r"\u0020-\u002a\u002c\u002f\u003b-\u003f\u005b-\u005e\u0060\u007b-\u007e"
"""Printable ASCII, except letters, digits and `_ . : @ + -`."""

PRINTABLE = TextRule(f"^[^{CONTROL}]*$", "must not contain control characters")
READABLE = TextRule(
    f"^[^{_UNREADABLE}]+$", "must not contain control characters or invisible characters, such as direction marks"
)
NAME = TextRule(f"^(?![{SPACE}]*$)[{SPACE}]*[^{_UNREADABLE}]*[{SPACE}]*$", READABLE.words)
EMAIL = TextRule(
    f"^[{SPACE}]*[^@{_HIDDEN}{SPACE}]{{1,64}}@[^@{_HIDDEN}{SPACE}]{{1,255}}[{SPACE}]*$",
    "must be an address such as ada@example.com: at most 64 characters, `@`, and at most 255 characters; without "
    "spaces, control characters and invisible characters",
)
IDENTIFIER = TextRule(
    rf"^(\.{{3,}}|\.*[^.@+{_NO_LETTERS}{_HIDDEN}{SPACE}][^{_NO_LETTERS}{_HIDDEN}{SPACE}]*)$",
    "must have only letters, digits and `_ . : @ + -`, no spaces and no invisible characters; must not begin with `@` "
    "or `+`, nor be `.` or `..`",
)
SLUG = TextRule(
    r"^[A-Za-z0-9_\-][A-Za-z0-9_.\-]{0,254}$",
    "must have 1 to 255 letters (A to Z), digits, `_`, `-` and `.`; must not begin with `.`",
)
INSTANT = TextRule(
    rf"^{_YEAR}-{_MONTH_AND_DAY}[Tt]{_TIME}:[0-5][0-9](\.[0-9]{{1,6}})?"
    rf"([Zz]|[+\-]{_TIME})$",
    "must be a time of the years 1900 to 9000 with a time zone, such as 2027-12-31T23:59:59Z",
    is_raw=True,
)
DAY = TextRule(
    f"^{_YEAR}-{_MONTH_AND_DAY}$", "must be a day of the years 1900 to 9000, such as 2027-12-31", is_raw=True
)
UUID_TEXT = TextRule(
    r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "must be a UUID, such as aa6b4d99-8305-48a8-8ad1-e5994b7e7bee",
    is_raw=True,
)
_WINDOW = r"[1-9][0-9]{0,8} ?(/|per) ?([1-9][0-9]{0,3} ?)?(second|minute|hour|day|month|year)s?"
RATE = TextRule(
    f"^(unlimited|{_WINDOW}( ?; ?{_WINDOW})*)$",
    "must be `unlimited`, or the requests in each window, such as `60/minute; 10000/day`",
)
BASE64 = TextRule(r"^[A-Za-z0-9+/]{0,45000}={0,2}$", "must be base64 of at most 45,000 characters")
TOKEN = TextRule("^[!-~]{1,255}$", "must have 1 to 255 printable ASCII characters, without spaces")
SECRET = TextRule("^[ -~]{1,255}$", "must have 1 to 255 printable ASCII characters")
REGION = TextRule(r"^[a-z0-9\-]{1,64}$", "must have 1 to 64 lower-case letters (a to z), digits and `-`")
