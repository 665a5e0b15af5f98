"""Write names of people from other systems as subject ids, and read them back.

Other systems allow any text, such as `Ada Acker`; ids allow no spaces. What an id cannot hold is written as `::` and
two hexadecimal digits for each byte of UTF-8: `Ada::20Acker`. A text that is an id already stays as it is.
"""

import re

from app.domain.text import normalize
from app.errors import InvalidParameter
from app.schemas.text_rules import IDENTIFIER, READABLE

MAX_ID_CHARS = 128
MAX_NAME_CHARS = 200

_ESCAPES = re.compile(r"(?:::[0-9A-F]{2})+")
_LOOKS_ESCAPED = re.compile(r":(?=:[0-9A-F]{2})")


def to_subject_id(name: str, field: str = "subject") -> str:
    """Return the id of the subject with this name; raises `InvalidParameter` for text that no id can stand for."""
    text = normalize(name)
    try:
        READABLE.check(text)
    except ValueError as exc:
        raise InvalidParameter(f"{field}: {exc}, and must not be empty.", field=field) from None
    text = _LOOKS_ESCAPED.sub("::3A", text)
    if not _is_id(text):
        text = "".join(character if _is_id(f"a{character}") else _escape(character) for character in text)
    if not _is_id(text):  # an id must not begin like this
        text = _escape(text[0]) + text[1:]
    if len(text) > MAX_ID_CHARS:
        raise InvalidParameter(
            f"{field}: as an id it has {len(text)} characters; at most {MAX_ID_CHARS} are allowed. A character beyond "
            f"letters, digits and `_ . : @ + -` counts 4 or more.",
            field=field,
        )
    return text


def from_subject_id(subject: str) -> str:
    """Return the name that an id stands for: the id itself, unless `to_subject_id` wrote it."""
    return _ESCAPES.sub(_unescape, subject)


def display_name(name: str, subject: str) -> str | None:
    """Return the name to store beside the id; None if the id shows it already, or if it is too long for a name."""
    text = normalize(name).strip()
    return text if text and text != subject and len(text) <= MAX_NAME_CHARS else None


def _is_id(text: str) -> bool:
    try:
        IDENTIFIER.check(text)
    except ValueError:
        return False
    return True


def _escape(character: str) -> str:
    return "".join(f"::{byte:02X}" for byte in character.encode())


def _unescape(found: re.Match[str]) -> str:
    try:
        return bytes.fromhex(found[0].replace("::", "")).decode()
    except UnicodeDecodeError:
        return found[0]
